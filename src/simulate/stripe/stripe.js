// What the local Stripe serves instead of Stripe.js: as much of it as a page needs that takes a card
// with the Payment Element. The card's fields stand in a frame of this origin, as Stripe's do.
'use strict';

(() => {
  const origin = new URL(document.currentScript.src).origin;

  const ask = (key) => async (method, path, fields = {}) => {
    const form = new URLSearchParams(fields);
    const query = method === 'GET' ? `?${form}` : '';
    const answer = await fetch(origin + path + query, {
      method,
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/x-www-form-urlencoded' },
      body: method === 'GET' ? undefined : form,
    });
    return answer.json();
  };

  const idOf = (secret) => secret.split('_secret')[0];

  function element() {
    const handlers = { ready: [], change: [] };
    const frame = document.createElement('iframe');
    frame.src = `${origin}/v3/element`;
    frame.title = 'Secure card entry';
    frame.width = '100%';
    frame.height = '230';
    const ready = new Promise((resolve) => {
      addEventListener('message', (event) => {
        if (event.source !== frame.contentWindow || event.origin !== origin) return;
        if (event.data !== 'ready') return;
        handlers.ready.forEach((handler) => handler());
        resolve();
      });
    });
    return {
      on(name, handler) { (handlers[name] ??= []).push(handler); return this; },
      mount(place) { (typeof place === 'string' ? document.querySelector(place) : place).append(frame); },
      unmount() { frame.remove(); },
      // The fields, as the frame has them now.
      read: () => ready.then(() => new Promise((resolve) => {
        const channel = new MessageChannel();
        channel.port1.onmessage = (event) => resolve(event.data);
        frame.contentWindow.postMessage('read', origin, [channel.port2]);
      })),
    };
  }

  window.Stripe = (key) => {
    const request = ask(key);

    // Does what the bank wants, and gives the outcome. A page to be led to does not come back.
    async function follow(kind, intent, secret) {
      const next = intent.status === 'requires_action' ? intent.next_action : null;
      if (next?.redirect_to_url) {
        location.assign(next.redirect_to_url.url);
        return new Promise(() => {});
      }
      const after = next ? await challenge(kind, next.use_stripe_sdk.stripe_js, intent.id, secret) : intent;
      const error = after.last_payment_error ?? after.last_setup_error;
      if (next && error) return { error };
      return { [after.object === 'setup_intent' ? 'setupIntent' : 'paymentIntent']: after };
    }

    // The bank's page in a frame over the page, until the bank has answered.
    async function challenge(kind, url, id, secret) {
      const frame = document.createElement('iframe');
      frame.src = url;
      frame.title = 'Bank confirmation';
      Object.assign(frame.style, {
        position: 'fixed', inset: '10vh 10vw', width: '80vw', height: '80vh', zIndex: 9, border: 0, background: '#fff',
      });
      document.body.append(frame);
      for (;;) {
        await new Promise((resolve) => { setTimeout(resolve, 300); });
        const intent = await request('GET', `/v1/${kind}/${id}`, { client_secret: secret });
        if (intent.status === 'requires_action') continue;
        frame.remove();
        return intent;
      }
    }

    async function confirm(kind, { elements, confirmParams }) {
      const { number, month, year, cvc } = await elements.fields();
      const method = await request('POST', '/v1/payment_methods', {
        type: 'card', 'card[number]': number, 'card[exp_month]': month, 'card[exp_year]': year, 'card[cvc]': cvc,
      });
      if (method.error) return { error: method.error };
      const { secret } = elements;
      const intent = await request('POST', `/v1/${kind}/${idOf(secret)}/confirm`, {
        client_secret: secret, payment_method: method.id, return_url: confirmParams.return_url, use_stripe_sdk: true,
      });
      return intent.error ? { error: intent.error } : follow(kind, intent, secret);
    }

    return {
      elements({ clientSecret }) {
        let made = null;
        return {
          secret: clientSecret,
          create() { made = element(); return made; },
          submit: async () => ({}),
          fields: () => made.read(),
        };
      },
      confirmPayment: (options) => confirm('payment_intents', options),
      confirmSetup: (options) => confirm('setup_intents', options),
      async handleNextAction({ clientSecret }) {
        const kind = clientSecret.startsWith('seti_') ? 'setup_intents' : 'payment_intents';
        const intent = await request('GET', `/v1/${kind}/${idOf(clientSecret)}`, { client_secret: clientSecret });
        return intent.error ? { error: intent.error } : follow(kind, intent, clientSecret);
      },
    };
  };
})();
