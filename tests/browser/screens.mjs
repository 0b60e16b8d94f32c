// Every main state of the wallet page: axe finds nothing, and it says what the state is about. With a
// folder as the sixth argument it is taken a picture of, at two widths, light and dark. The account
// `acme` has a saved card, charged calls and a plan; `globex` is low, `initech` is empty.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { base, call, check, open, signIn, visit } from './lib.mjs';

const folder = process.argv[7];
const browser = await open();
const looks = folder
  ? [[1440, 'light'], [1440, 'dark'], [390, 'light'], [390, 'dark']]
  : [[1440, 'light']];
if (folder) mkdirSync(folder, { recursive: true });

// Name, address, and a text that the state shows.
const OF_ACME = [
  ['overview', '', 'Available'],
  ['add-funds', 'add-funds?amount=75', 'You see a summary before anything is charged.'],
  ['add-funds-invalid', 'add-funds/confirm?amount=5&payment_method=new', 'is below the minimum'],
  ['add-funds-confirm', 'add-funds/confirm?amount=50&payment_method=CARD', 'Available afterwards'],
  ['cards', 'cards', 'Saved cards'],
  ['card-remove', 'cards/CARD/remove', 'Keep it'],
  ['controls', 'auto-refill', 'Monthly budget'],
  ['history', 'history', 'Every movement of money'],
  ['history-evidence', 'history?kind=overage&open=LAST', 'What it rests on'],
  ['history-calls', 'history?plan=1', 'Plan paid'],
  ['history-none', 'history?to=2020-01-01', 'No entry matches'],
  ['statement', 'statements/MONTH', 'Opening balance'],
  ['numbers', 'numbers?country=US&type=local', 'Free numbers'],
  ['numbers-buy', 'numbers/buy?phone_number=12015551001&country=US&type=local', 'Do not buy'],
  ['numbers-release', 'numbers/NUMBER/release', 'This cannot be undone.'],
  ['campaigns', 'campaigns', 'Campaigns'],
  ['insights', 'insights?period=90', 'Spend by day'],
  ['not-found', 'nothing', 'There is no such page'],
];

async function take(page, name) {
  await check(page, name);
  if (!folder) return;
  const { width } = page.viewportSize();
  const scheme = await page.evaluate(() => (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'));
  await page.screenshot({ path: `${folder}/${name}-${width}-${scheme}.png`, fullPage: true });
}

for (const [width, colorScheme] of looks) {
  const page = await visit(browser, { width, colorScheme });
  await signIn(page);
  await page.goto(`${base}/wallet/cards`);
  const card = await page.getAttribute('a[href*="/remove"]', 'href').then((href) => href.split('/').at(-2));
  const rows = await call('GET', '/v1/accounts/acme/transactions?kind=overage&limit=1');
  const numbers = await call('GET', '/v1/accounts/acme/numbers?status=active');
  const fill = (path) => path.replace('CARD', card).replace('LAST', rows.items[0].sequence)
    .replace('NUMBER', numbers.items[0].id).replace('MONTH', new Date().toISOString().slice(0, 7));
  for (const [name, path, text] of OF_ACME) {
    await page.goto(`${base}/wallet/${fill(path)}`.replace(/\/$/, ''));
    assert.ok((await page.textContent('main')).includes(text), `${name} does not say ${text}: ${page.url()}`);
    if (name === 'overview') await page.waitForSelector('#live:not(.off):has-text("Live")');
    await take(page, name);
  }
  // Campaigns: one that is estimated, and one that runs.
  await page.goto(`${base}/wallet/campaigns`);
  for (const [field, value] of [['calls', '8000'], ['answered', '38'], ['average', '112'], ['tag', 'autumn']]) {
    await page.fill(`#${field}`, value);
  }
  await page.click('button:has-text("Estimate")');
  await page.waitForSelector('text=Expected cost');
  await take(page, 'campaign-estimate');
  await page.goto(`${base}/wallet/campaigns`);
  await page.click('main a:has-text("spring")');
  await page.waitForSelector('text=Spent so far');
  await take(page, 'campaign-live');
  // Faults of a form.
  await page.goto(`${base}/wallet/auto-refill`);
  await page.check('input[name=enabled]');
  await page.fill('#threshold', 'five');
  await page.click('button:has-text("Save auto-refill")');
  await page.waitForSelector('[aria-invalid=true]');
  await take(page, 'controls-error');
  // A refill's life.
  const states = await call('GET', '/v1/accounts/acme/refills?limit=50');
  const of = (status) => states.items.find((refill) => refill.status === status);
  for (const status of ['completed', 'failed', 'requires_action', 'requires_payment_method']) {
    const refill = of(status);
    assert.ok(refill, `no refill is ${status}`);
    await page.goto(`${base}/wallet/refills/${refill.id}`);
    await page.waitForSelector(`[data-status=${status}]`);
    if (status === 'requires_payment_method') await page.waitForSelector('button[data-confirm]:not([disabled])');
    await take(page, `refill-${status}`);
    if (status !== 'failed') continue;
    await page.click('a:has-text("Try again with")');
    await page.waitForSelector('text=Nothing was charged');
    await take(page, 'add-funds-declined');
  }
  await page.goto(`${base}/wallet/refills/${of('completed').id}/receipt`);
  await take(page, 'receipt');
  await page.context().close();

  for (const [account, name, text] of [['globex', 'overview-low', 'The wallet is low.'], ['initech', 'overview-empty', 'Calls are refused']]) {
    const other = await visit(browser, { width, colorScheme });
    await signIn(other, account);
    await other.waitForSelector(`text=${text}`);
    await take(other, name);
    if (account === 'initech') {
      await other.goto(`${base}/wallet/numbers?country=US&type=local`);
      await other.waitForSelector('text=$1.15 missing');
      await take(other, 'numbers-short');
    }
    await other.context().close();
  }
  const operator = await visit(browser, { width, colorScheme });
  const link = await call('POST', '/v1/accounts/acme/sign-in-links', { operator: 'grace' });
  await operator.goto(link.url);
  await operator.waitForSelector('text=you look at this page as an operator');
  await take(operator, 'overview-operator');
  await operator.context().close();
  const nobody = await visit(browser, { width, colorScheme });
  await nobody.goto(`${base}/wallet`);
  await nobody.waitForSelector('text=You are signed out');
  await take(nobody, 'signed-out');
  await nobody.context().close();
}
await browser.close();
