// What the tests in a real browser share: the browser, the API, and what counts as a fault.
import { createRequire } from 'node:module';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import assert from 'node:assert/strict';

// The service's address, an admin key, the folder of the modules, the browser's program, and the
// address of the local Stripe.
export const [base, key, modules, executablePath, stripe] = process.argv.slice(2);
const load = createRequire(`${modules}/`);
const { chromium } = load('playwright-core');
const axe = readFileSync(load.resolve('axe-core/axe.min.js'), 'utf8');

export async function call(method, path, body) {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const answer = await fetch(base + path, { method, headers, body: JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer.status === 204 ? null : answer.json();
}

const faults = [];
let last = null;

// Whoever reads a failure sees what the page showed.
process.on('uncaughtException', async (error) => {
  const shown = await last?.textContent('main', { timeout: 1000 }).catch(() => 'nothing');
  const frames = await Promise.all((last?.frames() ?? []).map(async (frame) => {
    const text = await frame.evaluate(() => document.body.innerText.replace(/\s+/g, ' ')).catch(() => 'nothing');
    return `${frame.url()}: ${text.slice(0, 500)}`;
  }));
  console.error(error, `\n${frames.join('\n')}\n${last?.url()} showed: ${shown?.replace(/\s+/g, ' ')}\nfaults: ${faults.join('\n')}`);
  process.exit(1);
});

// Ends with the faults that no page may have.
export async function finish(browser) {
  await browser.close();
  // Browsers report a page that says 401 (signed out) or 422 (a wrong amount), and a card that Stripe
  // declines with 402, as if it were a fault.
  const real = faults.filter((fault) => !/status of (401|402|422)/.test(fault));
  assert.deepEqual(real, [], 'the console');
}

export const open = () => chromium.launch({ executablePath, args: ['--no-sandbox'] });

// A browser with settings of its own, for which each host is this machine, and each certificate is right.
export async function browserWith(preferences) {
  const folder = mkdtempSync(`${tmpdir()}/callmeter-browser-`);
  mkdirSync(`${folder}/Default`);
  writeFileSync(`${folder}/Default/Preferences`, JSON.stringify(preferences));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return chromium.launchPersistentContext(folder, {
    executablePath, ignoreHTTPSErrors: true, viewport: { width: 1440, height: 1000 },
    args: [
      '--no-sandbox', '--host-resolver-rules=MAP *.test 127.0.0.1',
      // A page that the test writes itself has no address, so that a server of this machine counts as foreign.
      '--disable-features=LocalNetworkAccessChecks',
    ],
  });
}

// A page of a new visitor, which notes each complaint and each request to somewhere else.
export async function visit(browser, { width = 1440, colorScheme = 'light', scripts = true, allowed = [] } = {}) {
  const context = await browser.newContext?.({
    timezoneId: 'America/New_York', viewport: { width, height: 1000 }, colorScheme, javaScriptEnabled: scripts,
    acceptDownloads: true,
  }) ?? browser;
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  last = page;
  page.on('console', (said) => {
    if (['error', 'warning'].includes(said.type())) faults.push(`${said.text()} ${said.location().url}`);
  });
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => {
    const known = [base, stripe, ...allowed].filter(Boolean);
    if (!known.some((origin) => request.url().startsWith(origin))) faults.push(`a request to ${request.url()}`);
  });
  return page;
}

// Signs in, as the host platform does it.
export async function signIn(page, account = 'acme', next = undefined) {
  const link = await call('POST', `/v1/accounts/${account}/sign-in-links`, { user: 'ada', next });
  await page.goto(link.url);
}

// axe finds nothing, and nothing scrolls sideways, on a page or in a frame.
export async function check(page, name) {
  const width = await page.evaluate(() => window.innerWidth);
  // Stripe's frame is of another origin, and Stripe's own matter.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { iframes: false }));
  const told = violations.map((it) => `${it.id}: ${it.nodes[0].html.slice(0, 200)}`);
  assert.deepEqual(told, [], `${name} at ${width}`);
  const [wide, beyond] = await page.evaluate((most) => [
    document.documentElement.scrollWidth,
    [...document.querySelectorAll('body *')].filter((it) => {
      const range = document.createRange();
      range.selectNodeContents(it);
      return Math.max(it.getBoundingClientRect().right, range.getBoundingClientRect().right) > most + 0.5;
    }).map((it) => it.outerHTML.slice(0, 120)),
  ], width);
  assert.ok(wide <= width, `${name} scrolls sideways at ${width}: ${wide}, by ${beyond.join('\n')}`);
}
