// Takes a card with Stripe's Payment Element. The card's data goes from the browser to Stripe alone.
'use strict';

document.querySelectorAll('[data-stripe]').forEach((place) => {
  const { js, key, secret, stripe: kind, done } = place.dataset;
  const button = place.querySelector('[data-confirm]');
  const problem = place.querySelector('[data-problem]');
  const field = place.querySelector('[data-element]');
  const text = button.textContent;
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;

  const complain = (message) => {
    problem.textContent = message;
    problem.hidden = false;
    button.disabled = false;
    button.textContent = text;
    delete place.dataset.busy;
  };

  const script = document.createElement('script');
  script.src = js;
  script.addEventListener('error', () => {
    complain('Stripe does not answer right now, so no card can be entered. Reload the page in a moment.');
    button.disabled = true;
  });
  script.addEventListener('load', () => {
    const stripe = window.Stripe(key);
    let elements = null;
    if (kind === 'action') {
      field.hidden = true;
      button.disabled = false;
    } else {
      elements = stripe.elements({ clientSecret: secret, appearance: { theme: dark ? 'night' : 'stripe' } });
      const element = elements.create('payment');
      element.on('ready', () => { button.disabled = false; });
      field.replaceChildren();
      field.classList.add('filled');
      element.mount(field);
    }
    button.addEventListener('click', async () => {
      problem.hidden = true;
      button.disabled = true;
      place.dataset.busy = '';
      button.textContent = kind === 'setup' ? 'Saving…' : 'Adding…';
      const confirmParams = { return_url: place.dataset.return };
      const confirm = {
        payment: () => stripe.confirmPayment({ elements, confirmParams, redirect: 'if_required' }),
        setup: () => stripe.confirmSetup({ elements, confirmParams, redirect: 'if_required' }),
        action: () => stripe.handleNextAction({ clientSecret: secret }),
      };
      try {
        const { error } = await confirm[kind]();
        if (error) return complain(error.message ?? 'Stripe refused it. Nothing was charged.');
        location.assign(done);
      } catch {
        complain('The connection to Stripe broke. Reload the page: it shows what became of the payment.');
      }
    });
  });
  document.head.append(script);
});
