// The wallet page in a real browser. Arguments: the service's address, an admin key, the folder of the
// modules, and the browser's program. The account `acme` has a saved card and a call. Ends with 1 at the
// first fault.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import assert from 'node:assert/strict';

const [base, key, modules, executablePath] = process.argv.slice(2);
const load = createRequire(`${modules}/`);
const { chromium } = load('playwright-core');
const axe = readFileSync(load.resolve('axe-core/axe.min.js'), 'utf8');

const call = async (method, path, body) => {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const answer = await fetch(base + path, { method, headers, body: JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.json();
};

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
const faults = [];
for (const [width, colorScheme] of [[1440, 'light'], [390, 'dark']]) {
  const context = await browser.newContext({
    timezoneId: 'America/New_York', viewport: { width, height: 1000 }, colorScheme,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on('console', (said) => {
    if (['error', 'warning'].includes(said.type())) faults.push(said.text());
  });
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => {
    if (!request.url().startsWith(base)) faults.push(`a request to ${request.url()}`);
  });
  const check = async (name) => {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    const told = violations.map((it) => `${it.id}: ${it.nodes[0].html.slice(0, 200)}`);
    assert.deepEqual(told, [], `${name} at ${width}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= width, `${name} scrolls sideways at ${width}: ${wide}`);
  };

  const link = await call('POST', '/v1/accounts/acme/sign-in-links', { user: 'ada' });
  await page.goto(link.url);
  await page.waitForSelector('#live:not(.off):has-text("Live")');
  assert.match(await page.textContent('#live time'), /\d\d:\d\d:\d\d \d\d:\d\d:\d\d UTC/);
  await check('the overview');

  // A change is seen without a reload, and what is typed or open stays.
  const before = await page.textContent('[data-money]');
  const credit = { type: 'credit', amount: '1.25', description: 'Seen live' };
  await call('POST', '/v1/accounts/acme/adjustments', credit);
  await page.waitForFunction(
    (text) => document.querySelector('[data-money]').textContent !== text, before,
  );
  await page.waitForSelector('text=Seen live');

  const paths = ['history?open=1', 'history?plan=1', 'insights?period=90', 'auto-refill', 'cards'];
  for (const path of [...paths, 'signed-out']) {
    await page.goto(`${base}/wallet/${path}`);
    await check(path);
  }

  // A refill with the saved card, by keyboard alone after the first page.
  await page.goto(`${base}/wallet/add-funds`);
  await check('adding funds');
  await page.fill('#amount', '5');
  await page.press('#amount', 'Enter');
  await page.waitForSelector('[aria-invalid=true]');
  assert.match(await page.title(), /^Error:/);
  await check('a wrong amount');
  await page.fill('#amount', '12.50');
  await page.press('#amount', 'Enter');
  await page.waitForSelector('text=You add');
  await check('the summary');
  await page.focus('form[data-once] button');
  await page.keyboard.press('Enter');
  await page.waitForSelector('h2:has-text("$12.50 added")');
  await check('the refill');
  await page.reload();
  await page.waitForSelector('h2:has-text("$12.50 added")');
  await page.click('text=Receipt to print');
  await check('the receipt');

  await page.click('text=Sign out');
  await page.waitForSelector('h1:has-text("You are signed out")');
  await page.goBack();
  await page.waitForSelector('h1:has-text("You are signed out")');
  await context.close();
}
await browser.close();
// Browsers report a page that says 401 (signed out) or 422 (a wrong amount) as if it were a fault.
const real = faults.filter((fault) => !/status of (401|422)/.test(fault));
assert.deepEqual(real, [], 'the console');
