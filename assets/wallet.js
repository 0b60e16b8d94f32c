// The wallet page. Everything here makes a page that works without it more pleasant: local times,
// copy and print buttons, forms that are sent once, and figures that stay right while the page is open.
'use strict';

// --- Local times: UTC is in the markup, the local time goes before it.
const FORMS = {
  minute: { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' },
  second: { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit' },
  clock: { hour: '2-digit', minute: '2-digit', second: '2-digit' },
  date: { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit' },
};
const SAME_ZONE = new Date().getTimezoneOffset() === 0;

function localize(root) {
  if (SAME_ZONE) return;
  root.querySelectorAll('time[data-form]:not([data-local])').forEach((time) => {
    const at = new Date(time.dateTime);
    const form = { ...FORMS[time.dataset.form], hourCycle: 'h23' };
    const write = (zone) => new Intl.DateTimeFormat('en-GB', { ...form, timeZone: zone }).format(at);
    const local = write(undefined);
    const utc = write('UTC');
    // The date is repeated for UTC only where it differs.
    const day = local.slice(0, local.lastIndexOf(','));
    const short = day && utc.startsWith(`${day},`) ? utc.slice(day.length + 1).trim() : utc;
    const beside = document.createElement('span');
    beside.className = 'utc';
    beside.textContent = `${short} UTC`;
    time.replaceChildren(`${local} `, beside);
    time.dataset.local = '';
  });
}

// --- In a frame, other sites open in a tab of their own: banks and platforms refuse to be in a frame.
const isFramed = window.top !== window;

function leadOut(root) {
  if (!isFramed) return;
  root.querySelectorAll('a[data-out]').forEach((link) => {
    link.target = '_blank';
    link.rel = 'noopener';
  });
}

// --- Copy buttons: hidden in the markup, so that a page without scripts has no dead control.
function arm(root) {
  localize(root);
  leadOut(root);
  root.querySelectorAll('[data-copy][hidden]').forEach((button) => {
    button.hidden = false;
    button.addEventListener('click', async () => {
      const said = button.querySelector('.said');
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
        said.textContent = 'Copied';
      } catch {
        said.textContent = 'Press Ctrl+C';
        getSelection().selectAllChildren(button.previousElementSibling);
      }
      setTimeout(() => { said.textContent = 'Copy'; }, 2000);
    });
  });
}

document.querySelectorAll('[data-print]').forEach((button) => {
  button.hidden = false;
  button.addEventListener('click', () => print());
});

// --- A form is sent once; a page that the browser brings back is usable again.
document.querySelectorAll('form[data-once]').forEach((form) => {
  const button = form.querySelector('button');
  const text = button.textContent;
  form.addEventListener('submit', () => {
    button.textContent = form.dataset.once;
    setTimeout(() => { button.disabled = true; });
  });
  addEventListener('pageshow', () => {
    button.disabled = false;
    button.textContent = text;
  });
});
document.querySelector('[data-focus]')?.focus();

// --- Live parts: the server says which changed, and writes them again.
const at = document.body.dataset.at;
const live = document.getElementById('live');
const RECONNECTING_AFTER = 5000;
const FETCH_EVERY = 400;
const RETRY_AFTER = 2000;
let source = null;
let wanted = new Set();
let fetching = false;
let lost = null;

const parts = () => [...document.querySelectorAll('[data-part]')];

function isInUse(part) {
  return part.contains(document.activeElement) && document.activeElement.matches('input, select, textarea')
    || part.querySelector('[data-keep]') !== null;
}

function swap(fresh) {
  const old = document.querySelector(`[data-part="${CSS.escape(fresh.dataset.part)}"]`);
  // A refill that has gone on replaces what was typed for the step before.
  const hasGoneOn = old && old.dataset.status !== fresh.dataset.status;
  if (!old || (isInUse(old) && !hasGoneOn)) return;
  // While Stripe's script confirms, the bank's page may stand over this one: only the end takes it away.
  const isOver = ['completed', 'failed'].includes(fresh.dataset.status);
  if (old.querySelector('[data-busy]') && !isOver) return;
  // The next step needs Stripe's script again.
  if (hasGoneOn && fresh.querySelector('[data-stripe]')) return location.reload();
  const before = old.dataset.text ?? old.textContent;
  fresh.dataset.text = fresh.textContent;
  if (before === fresh.dataset.text) return;
  const open = [...old.querySelectorAll('details')].map((details) => details.open);
  const figure = old.querySelector('[data-money]')?.textContent;
  arm(fresh);
  const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
  old.replaceWith(fresh);
  fresh.querySelectorAll('details').forEach((details, place) => { details.open = open[place] ?? details.open; });
  if (focused) fresh.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  const money = fresh.querySelector('[data-money]');
  if (money && money.textContent !== figure) {
    money.classList.add('changed');
    announce(money.textContent);
  }
}

// The balance is said politely, and at most every 10 seconds.
let saidAt = 0;
function announce(text) {
  if (Date.now() - saidAt < 10000) return;
  saidAt = Date.now();
  let line = document.getElementById('said');
  if (!line) {
    line = document.createElement('p');
    line.id = 'said';
    line.className = 'sr';
    line.setAttribute('aria-live', 'polite');
    document.getElementById('main').append(line);
  }
  line.textContent = `${text} available`;
}

async function fetchParts() {
  if (fetching) return;
  fetching = true;
  while (wanted.size > 0) {
    const names = [...wanted];
    wanted = new Set();
    // Some parts have an address of their own.
    const address = (name) => document.querySelector(`[data-part="${CSS.escape(name)}"]`)?.dataset.from;
    const alone = names.find((name) => name.startsWith('refill-') || address(name));
    const own = alone && (address(alone) ?? `${at}/refills/${alone.slice(7)}/part${location.search}`);
    const path = own ?? `${at}/parts?names=${names.join(',')}`;
    if (alone) names.filter((name) => name !== alone).forEach((name) => wanted.add(name));
    try {
      const answer = await fetch(path, { headers: { accept: 'text/html' }, redirect: 'manual' });
      if (answer.status === 401 || answer.type === 'opaqueredirect') return location.reload();
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
        page.querySelectorAll('[data-part]').forEach((part) => swap(document.adoptNode(part)));
      } else if (answer.status >= 500) {
        names.forEach((name) => wanted.add(name));
        await new Promise((resolve) => { setTimeout(resolve, RETRY_AFTER); });
      }
    } catch {
      // The stream notices that the connection is gone.
    }
    await new Promise((resolve) => { setTimeout(resolve, FETCH_EVERY); });
  }
  fetching = false;
}

function want(names) {
  const shown = new Set(parts().map((part) => part.dataset.part));
  names.filter((name) => shown.has(name)).forEach((name) => wanted.add(name));
  fetchParts();
}

function status(word, kind, time) {
  if (!live) return;
  const shown = time ?? live.querySelector('time')?.dateTime ?? new Date().toISOString();
  const stamp = document.createElement('time');
  stamp.dateTime = shown;
  stamp.dataset.form = 'clock';
  stamp.textContent = `${new Date(shown).toISOString().slice(11, 19)} UTC`;
  const strong = document.createElement('b');
  strong.textContent = word;
  live.className = `live ${kind}`.trim();
  live.replaceChildren(strong, kind === 'lost' ? ' · figures as of ' : ' as of ', stamp);
  localize(live);
}

function connect() {
  if (source || document.hidden || parts().length === 0) return;
  source = new EventSource(`${at}/events`);
  source.addEventListener('open', () => {
    clearTimeout(lost);
    lost = null;
  });
  source.addEventListener('parts', (event) => {
    want(event.data.split(','));
    status('Live', '', new Date().toISOString());
  });
  source.addEventListener('as-of', (event) => status('Live', '', event.data));
  source.addEventListener('signed-out', () => location.reload());
  source.addEventListener('error', () => {
    lost ??= setTimeout(() => status('Reconnecting', 'lost'), RECONNECTING_AFTER);
    if (source.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(connect, RECONNECTING_AFTER);
    }
  });
}

function disconnect() {
  source?.close();
  source = null;
}

document.addEventListener('visibilitychange', () => {
  if (document.hidden) return disconnect();
  want(parts().map((part) => part.dataset.part));
  connect();
});
addEventListener('pagehide', disconnect);

// A refill that is not finished is asked about even if no event comes; one that waits for a card only
// at first, since its page is loaded again after the card was entered.
setInterval(() => {
  if (document.hidden) return;
  const names = ['pending', 'requires_action'];
  if (performance.now() < 60000) names.push('requires_payment_method');
  const open = document.querySelector(names.map((name) => `[data-status="${name}"]`).join());
  if (open) want([open.dataset.part]);
}, 3000);

arm(document);
parts().forEach((part) => { part.dataset.text = part.textContent; });
connect();
