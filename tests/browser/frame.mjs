// The wallet in a frame of another site: first in a browser that blocks third-party cookies, then in one
// that keeps no cookie for the frame at all. The account `acme` has 25 dollars and no card.
import assert from 'node:assert/strict';
import { browserWith, call, check, finish, visit } from './lib.mjs';

const PLATFORM = 'https://platform.test';

// A page of another site, with the wallet in a frame. Every host is this machine.
async function embed(context, site, next = undefined) {
  const page = await visit(context, { allowed: [site, 'https://wallet.test'] });
  const link = await call('POST', '/v1/accounts/acme/sign-in-links', { user: 'ada', next });
  await page.route(`${site}/**`, (route) => route.fulfill({
    contentType: 'text/html',
    body: `<!doctype html><title>Billing</title><main><h1>Billing</h1><iframe title="Wallet" width="1300" height="900" src="${link.url}"></iframe></main>`,
  }));
  await page.goto(`${site}/billing`);
  return { page, frame: page.frameLocator('iframe[title=Wallet]'), link };
}

// --- Third-party cookies are blocked: a partitioned one is kept all the same.
const strict = await browserWith({ profile: { cookie_controls_mode: 1, block_third_party_cookies: true } });
{
  const { page, frame } = await embed(strict, PLATFORM);
  await frame.locator('#live:not(.off):has-text("Live")').waitFor();
  await frame.locator('[data-money]:has-text("$25.00")').waitFor();
  const inner = page.frames().find((it) => it.url().startsWith('https://wallet.test'));
  assert.ok(!inner.url().includes('link='), inner.url());
  const kept = await inner.evaluate(() => {
    document.cookie = 'plain=1; SameSite=None; Secure; Path=/';
    return document.cookie;
  });
  assert.equal(kept, '', 'the browser of this test blocks third-party cookies');
  const cookie = (await strict.cookies()).find((it) => it.name === '__Host-callmeter');
  assert.ok(cookie.httpOnly && cookie.secure && cookie.sameSite === 'None', JSON.stringify(cookie));
  assert.equal(cookie.partitionKey, PLATFORM);

  // It is live.
  await call('POST', '/v1/accounts/acme/adjustments', { type: 'credit', amount: '5.00', description: 'A gift' });
  await frame.locator('[data-money]:has-text("$30.00")').waitFor();

  // A card is saved, with the bank's frame over the page.
  await frame.locator('a:has-text("Cards")').click();
  await frame.locator('button:has-text("Add a card")').click();
  const card = frame.frameLocator('iframe[title="Secure card entry"]');
  await card.locator('#number').fill('4000002760003184');
  await card.locator('#expiry').fill('12 / 40');
  await card.locator('#cvc').fill('123');
  await frame.locator('button[data-confirm]').click();
  await frame.frameLocator('iframe[title="Bank confirmation"]').locator('button[value=complete]').click();
  await frame.locator('text=Visa •••• 3184').first().waitFor();

  // Its payment is confirmed on the bank's page, in a tab; the frame learns the result by itself.
  await frame.locator('nav a:has-text("Add funds")').click();
  await frame.locator('#amount').fill('20');
  await frame.locator('button:has-text("Continue")').click();
  await frame.locator('button:has-text("Add $20.00")').click();
  const confirmation = frame.locator('a:has-text("Open the bank\'s confirmation")');
  await confirmation.waitFor();
  const [tab] = await Promise.all([strict.waitForEvent('page'), confirmation.click()]);
  await tab.locator('button[value=complete]').click();
  await tab.locator('h1:has-text("Your bank has answered")').waitFor();
  assert.ok(!tab.url().includes('secret'), tab.url());
  await check(tab, 'a tab that had the bank');
  await tab.close();
  await frame.locator('h2:has-text("$20.00 added")').waitFor();
  await check(inner, 'a refill in a frame');

  // Signing out ends it in the frame; another link begins it again.
  await frame.locator('button:has-text("Sign out")').click();
  await frame.locator('h1:has-text("You are signed out")').waitFor();
  await page.close();
  const again = await embed(strict, PLATFORM, '/wallet/history');
  await again.frame.locator('h1:has-text("History")').waitFor();
  await again.page.close();

  // No other site may show it.
  const stranger = await strict.newPage();
  const link = await call('POST', '/v1/accounts/acme/sign-in-links', {});
  await stranger.route('https://evil.test/**', (route) => route.fulfill({
    contentType: 'text/html', body: `<!doctype html><iframe src="${link.url}"></iframe>`,
  }));
  const refused = stranger.waitForEvent('console', (said) => said.text().includes('frame-ancestors'));
  await stranger.goto('https://evil.test/');
  await refused;
  assert.equal(await stranger.frameLocator('iframe').locator('[data-money]').count(), 0);
  await stranger.close();
}

// --- No cookie is kept in the frame: a button opens the wallet in a tab of its own.
const none = await browserWith({
  profile: { content_settings: { exceptions: { cookies: { [`[*.]wallet.test,${PLATFORM}`]: { setting: 2 } } } } },
});
{
  const { page, frame } = await embed(none, PLATFORM);
  await frame.locator('h1:has-text("in a tab of its own")').waitFor();
  await check(page.frames().find((it) => it.url().startsWith('https://wallet.test')), 'a frame without cookies');
  const [tab] = await Promise.all([none.waitForEvent('page'), frame.locator('a:has-text("Open the wallet")').click()]);
  await tab.locator('[data-money]:has-text("$50.00")').waitFor();
  assert.ok(!tab.url().includes('link='), tab.url());
  await page.close();
  await tab.close();
}
await none.close();
await finish(strict);
