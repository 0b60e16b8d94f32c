// What a customer does with the wallet page, in a real browser: a live call, new cards, 3-D Secure,
// declines, auto-refill, alerts, history, numbers; then the same without scripts. The account `acme`
// has a saved card and a Twilio account. Ends with 1 at the first fault.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { base, call, check, finish, open, signIn, visit } from './lib.mjs';

const browser = await open();
const page = await visit(browser);
const at = (path) => page.goto(`${base}/wallet/${path}`);
const sid = (number) => `CA${String(number).padStart(32, '0')}`;
// Whoever runs this publishes the event.
const ended = (call_sid, seconds) => console.log(`completed ${call_sid} ${seconds}`);
const money = () => page.textContent('[data-money]');

// --- A live call holds, settles, and changes the balance, all without a reload.
await signIn(page);
await page.waitForSelector('#live:not(.off):has-text("Live")');
await page.waitForSelector('text=No call is in progress');
const before = await money();
const ask = { account: 'acme', call_sid: sid(1), from: '+15005550100', to: '+15005550142', tag: '<b>autumn & co</b>' };
await call('POST', '/v1/authorizations', ask);
await page.waitForSelector(`#calls :text("${sid(1)}")`);
await page.waitForSelector('#calls :text("<b>autumn & co</b>")');
// The page may have been reading when the call began: the next text has both.
const isOther = (text) => document.querySelector('[data-money]').textContent !== text;
await page.waitForFunction(isOther, before);
const holding = await money();
await check(page, 'a live call');
ended(sid(1), 61);
await page.waitForSelector('text=No call is in progress');
await page.waitForFunction(isOther, holding);
await page.waitForSelector('[data-part=recent] :text("Call")');

// --- A new card, typed into Stripe's element.
async function addWith(amount, number, { save = true } = {}) {
  await at('add-funds');
  await page.fill('#amount', amount);
  await page.check('#pm-new');
  if (!save) await page.uncheck('input[name=save]');
  await page.click('button:has-text("Continue")');
  await page.click(`button:has-text("Enter the card for $${amount}")`);
  await type(number);
}
async function type(number) {
  const card = page.frameLocator('iframe[title="Secure card entry"]');
  await card.locator('#number').fill(number);
  await card.locator('#expiry').fill('12 / 40');
  await card.locator('#cvc').fill('123');
  await page.click('button[data-confirm]');
}
await addWith('25.00', '5555555555554444');
await page.waitForSelector('h2:has-text("$25.00 added")');
await at('cards');
await page.waitForSelector('text=Mastercard •••• 4444');

// --- Three kinds of decline, each with its advice and the way on; the last way succeeds.
await addWith('30.00', '4000000000009995', { save: false });
await page.waitForSelector('[data-problem]:not([hidden]):has-text("insufficient funds")');
await type('4000000000000002');
await page.waitForSelector('[data-problem]:not([hidden]):has-text("declined")');
await type('4000000000000069');
await page.waitForSelector('[data-problem]:not([hidden]):has-text("expired")');
// Stripe is asked about a refill at most once a second.
await page.waitForTimeout(1_500);
await page.reload();
await page.waitForSelector('[role=alert] :text("expired")');
await check(page, 'a declined new card');
await type('4242424242424242');
await page.waitForSelector('h2:has-text("$30.00 added")');

// --- 3-D Secure in the bank's frame, by keyboard: refused once, then confirmed.
await addWith('35.00', '4000002760003184', { save: false });
const bank = page.frameLocator('iframe[title="Bank confirmation"]');
await bank.locator('button[value=fail]').waitFor();
// The page asks about its refill every 3 seconds: the bank's page stays all the same.
await page.waitForTimeout(4_000);
await bank.locator('button[value=fail]').press('Enter');
await page.waitForSelector('[data-problem]:not([hidden]):has-text("failed authentication")');
await type('4000002760003184');
await bank.locator('button[value=complete]').press('Enter');
await page.waitForSelector('h2:has-text("$35.00 added")');
assert.ok(!page.url().includes('secret'), page.url());

// --- A card that is only saved.
await at('cards');
await page.click('button:has-text("Add a card")');
await type('378282246310005');
await page.waitForSelector('text=American Express •••• 0005');
await check(page, 'three cards');

// --- Alerts, budget and auto-refill, by keyboard; auto-refill acts.
await at('auto-refill');
await page.fill('#threshold-1', '15');
await page.press('#threshold-1', 'Enter');
await page.waitForSelector('[role=status]:has-text("once when the balance falls below $15.00")');
await page.fill('#monthly', '500');
await page.press('#monthly', 'Enter');
await page.waitForSelector('[role=status]:has-text("We warn you at $250.00, $400.00 and $500.00; calls go on.")');
await page.focus('input[name=enabled]');
await page.keyboard.press('Space');
await page.fill('#threshold', '20');
await page.fill('#amount', '50');
await page.press('#amount', 'Enter');
await page.waitForSelector('[role=status]:has-text("Below $20.00 we charge")');
await check(page, 'the controls');
await at('');
await page.waitForSelector('#live:not(.off):has-text("Live")');
const wallet = await call('GET', '/v1/accounts/acme/wallet');
const spend = (Number(wallet.balance) - 12).toFixed(2);
await call('POST', '/v1/accounts/acme/adjustments', { type: 'debit', amount: spend, description: 'A busy day' });
await page.waitForSelector('[data-part=recent] :text("Automatic refill")');
await page.waitForFunction(() => document.querySelector('[data-money]').textContent === '$62.00');

// --- History: filters stay in the address, a row opens to its evidence, and the list is exported.
await at('history?kind=call');
await page.click('a:has-text("Details of row")');
await page.waitForSelector('.proof:has-text("61 s")');
await check(page, 'the evidence of a call');
await at(`history?q=${sid(1)}`);
const [file] = await Promise.all([page.waitForEvent('download'), page.click('a:has-text("CSV")')]);
const csv = readFileSync(await file.path(), 'utf8');
assert.ok(csv.includes(sid(1)) && csv.trim().split('\n').length === 2, csv);

// --- A number is searched, bought and released, by keyboard.
await at('numbers');
await page.focus('#digits');
await page.keyboard.type('5551000');
await page.keyboard.press('Enter');
await page.waitForSelector('text=Free numbers');
await check(page, 'free numbers');
await page.focus('a:has-text("Buy +12015551000")');
await page.keyboard.press('Enter');
await page.waitForSelector('h1:has-text("Buy")');
await check(page, 'buying a number');
await page.focus('button:has-text("Buy it for")');
await page.keyboard.press('Enter');
await page.waitForSelector('h2:has-text("is yours")');
await check(page, 'a bought number');
await page.click('a:has-text("Release +12015551000")');
await check(page, 'releasing a number');
await page.focus('button:has-text("Release +12015551000")');
await page.keyboard.press('Enter');
await page.waitForSelector('h2:has-text("is released")');
await page.context().close();

// --- Without scripts: everything but a new card.
const plain = await visit(browser, { scripts: false, width: 390 });
await signIn(plain);
await plain.waitForSelector('text=Not live');
await plain.click('a:has-text("Add funds")');
await plain.fill('#amount', '11');
await plain.click('button:has-text("Continue")');
await plain.click('button:has-text("Add $11.00")');
await plain.waitForSelector('h2:has-text("$11.00 added")');
await plain.goto(`${base}/wallet/auto-refill`);
await plain.fill('#monthly', '120');
await plain.click('button:has-text("Save budget")');
await plain.waitForSelector('text=of $120.00 spent');
await plain.goto(`${base}/wallet/numbers?country=US&type=local`);
await plain.click('a:has-text("Buy +12015551001")');
await plain.click('button:has-text("Buy it for")');
await plain.waitForSelector('h2:has-text("is yours")');
await plain.goto(`${base}/wallet/history`);
await plain.waitForSelector('tbody :text("Purchase of +12015551001")');
await finish(browser);
