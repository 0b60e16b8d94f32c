// The wallet page at two widths, light and dark: signing in, a live change, a refill by keyboard, and
// every page held against axe. The account `acme` has a saved card, a call of some days ago, and
// charged calls with the tag `spring`. Ends with 1 at the first fault.
import assert from 'node:assert/strict';
import { base, call, check, finish, open, signIn, visit } from './lib.mjs';

const browser = await open();

// --- What a new visitor loads is small, Stripe's script aside.
const MOST = 100_000;
for (const path of ['', '/history', '/add-funds', '/insights?period=90', '/campaigns', '/numbers', '/auto-refill']) {
  const page = await visit(browser);
  const sizes = [];
  page.on('requestfinished', (request) => sizes.push(request.sizes().catch(() => null)));
  await signIn(page, 'acme', `/wallet${path}`);
  await page.waitForLoadState('load');
  const all = (await Promise.all(sizes)).filter(Boolean);
  assert.ok(all.length >= 4, `${all.length} requests of /wallet${path}`);
  const loaded = all.reduce((sum, size) => sum + size.responseHeadersSize + size.responseBodySize, 0);
  assert.ok(loaded < MOST, `/wallet${path} loads ${loaded} bytes`);
  await page.context().close();
}

for (const [width, colorScheme] of [[1440, 'light'], [390, 'dark']]) {
  const page = await visit(browser, { width, colorScheme });
  await signIn(page);
  await page.waitForSelector('#live:not(.off):has-text("Live")');
  assert.match(await page.textContent('#live time'), /\d\d:\d\d:\d\d \d\d:\d\d:\d\d UTC/);
  await check(page, 'the overview');

  // A change is seen without a reload, and what is typed or open stays.
  const before = await page.textContent('[data-money]');
  const credit = { type: 'credit', amount: '1.25', description: 'Seen live' };
  await call('POST', '/v1/accounts/acme/adjustments', credit);
  await page.waitForFunction(
    (text) => document.querySelector('[data-money]').textContent !== text, before,
  );
  await page.waitForSelector('text=Seen live');

  const pages = ['history?open=1', 'history?plan=1', 'insights?period=90', 'auto-refill', 'cards', 'numbers', 'signed-out'];
  for (const path of pages) {
    await page.goto(`${base}/wallet/${path}`);
    await check(page, path);
  }

  // An estimate by keyboard, and the campaign, whose part is fetched when the wallet changes.
  await page.goto(`${base}/wallet/campaigns`);
  await check(page, 'campaigns');
  await page.fill('#calls', '8,000');
  await page.fill('#average', '112');
  await page.fill('#tag', 'spring');
  await page.press('#tag', 'Enter');
  await page.waitForSelector('h2:has-text("Estimate for spring")');
  await check(page, 'an estimate');
  await page.click('text=Follow this campaign');
  await page.waitForSelector('#live:not(.off):has-text("Live")');
  await page.waitForSelector('text=calls charged');
  await page.click('summary');
  await check(page, 'a campaign');
  const shown = await page.textContent('[data-part=campaign]');
  await call('POST', '/v1/accounts/acme/adjustments', credit);
  await page.waitForFunction(
    (text) => document.querySelector('[data-part=campaign]').textContent !== text, shown,
  );
  assert.ok(await page.evaluate(() => document.querySelector('details').open), 'the table stays open');

  // A refill with the saved card, by keyboard alone after the first page.
  await page.goto(`${base}/wallet/add-funds`);
  await check(page, 'adding funds');
  await page.fill('#amount', '5');
  await page.press('#amount', 'Enter');
  await page.waitForSelector('[aria-invalid=true]');
  assert.match(await page.title(), /^Error:/);
  await check(page, 'a wrong amount');
  await page.fill('#amount', '12.50');
  await page.press('#amount', 'Enter');
  await page.waitForSelector('text=You add');
  await check(page, 'the summary');
  await page.focus('form[data-once] button');
  await page.keyboard.press('Enter');
  await page.waitForSelector('h2:has-text("$12.50 added")');
  await check(page, 'the refill');
  await page.reload();
  await page.waitForSelector('h2:has-text("$12.50 added")');
  await page.click('text=Receipt to print');
  await check(page, 'the receipt');

  await page.click('text=Sign out');
  await page.waitForSelector('h1:has-text("You are signed out")');
  await page.goBack();
  await page.waitForSelector('h1:has-text("You are signed out")');
  await page.context().close();
}
await finish(browser);
