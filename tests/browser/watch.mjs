// A customer who watches calls: says when the overview shows each call of `sim-0001`, as
// `shown CALLSID MILLISECONDS` of this machine's clock. Ends with its input.
import { finish, open, signIn, visit } from './lib.mjs';

const browser = await open();
const page = await visit(browser);
await page.exposeFunction('shown', (sid, at) => console.log(`shown ${sid} ${at}`));
await page.addInitScript(() => {
  const seen = new Set();
  const look = () => {
    for (const [sid] of document.body.textContent.matchAll(/CA[0-9a-f]{32}/g)) {
      if (!seen.has(sid)) globalThis.shown(sid, Date.now());
      seen.add(sid);
    }
  };
  addEventListener('DOMContentLoaded', () => {
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
  });
});
await signIn(page, 'sim-0001');
await page.waitForSelector('#live:not(.off):has-text("Live")');
console.log('watching');
process.stdin.resume();
await new Promise((resolve) => { process.stdin.once('end', resolve); });
await finish(browser);
