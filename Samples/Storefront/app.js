// @ts-check
import { AlternativeClient, VendorError, claims } from './alternative-client.js';
import { CheckoutTokenError, createCheckoutToken } from './checkout-token.js';

/** @param {string} id */
const byID = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

// `disabled` would remove the keyboard focus from the button.
const isBusy = (/** @type {string} */ id) => byID(id).getAttribute('aria-disabled') === 'true';
const setBusy = (/** @type {string} */ id, /** @type {boolean} */ value) => {
  byID(id).setAttribute('aria-disabled', String(value));
};

/**
 * Does some work for each click, except while the work of an earlier click is unfinished.
 *
 * @param {string} id
 * @param {() => Promise<void>} work
 */
function whenClicked(id, work) {
  byID(id).addEventListener('click', async () => {
    if (isBusy(id)) return;
    setBusy(id, true);
    try {
      await work();
    } finally {
      setBusy(id, false);
    }
  });
}

// MARK: What the payer sees

/** @param {unknown} error */
function showError(error) {
  const { title, text, then } = plainWords(error);
  const code = error instanceof CheckoutTokenError ? error.code : 'vendor';
  showStop(error, code);
  byID('error').dataset.code = code;
  byID('invoice-waiting').hidden = true;
  // Failures after the payment do not concern the payer.
  if (isPaid) return;
  byID('error-title').textContent = title;
  byID('error-text').textContent = text;
  byID('error-reference').hidden = then !== 'tell';
  const incident = error instanceof CheckoutTokenError ? error.incident : null;
  byID('error-reference').textContent = `Reference: ${incident ?? code}`;
  byID('retry').hidden = then === null || then === 'tell';
  byID('retry').textContent = then === 'sign in' ? 'Sign in' : 'Try again';
  byID('retry').dataset.then = then ?? '';
  byID('error').hidden = false;
}

/** Hides the error. The keyboard focus stays in the payer's half. */
function hideError() {
  if (byID('error').contains(document.activeElement)) byID('payer').focus();
  byID('error').hidden = true;
}

/**
 * A message for the payer, and what they can do next: try again, sign in, tell the shop the reference, or nothing.
 *
 * @typedef {{ title: string, text: string, then: 'try again' | 'sign in' | 'tell' | null }} Words
 */

/**
 * @param {unknown} error
 * @returns {Words}
 */
function plainWords(error) {
  if (error instanceof CheckoutTokenError) return wordsForCodes[error.code];
  if (error instanceof VendorError) {
    return {
      title: error.status === 429 ? 'The payment provider is busy' : 'The payment provider did not respond',
      text: 'Try again. The page then shows whether the invoice is paid.', then: 'try again',
    };
  }
  return { title: 'Something went wrong on this page', text: 'Try again, or reload the page.', then: 'try again' };
}

/** @type {Words} */
const wrongPage = {
  title: 'This page does not work', text: 'Nothing was paid. Tell the shop the reference below.', then: 'tell',
};
/** @type {Words} */
const wrongAddress = {
  title: 'This link is not valid', text: 'Nothing was paid. Ask the shop for a new link.', then: null,
};

/** @type {Record<import('./checkout-token.js').CheckoutTokenErrorCode, Words>} */
const wordsForCodes = {
  sign_in: { title: 'You are not signed in', text: 'Sign in to the shop to see and pay this invoice.', then: 'sign in' },
  forbidden: {
    title: 'This invoice is not yours to pay',
    text: 'Your account has no access to it. If the invoice should be yours, ask the shop for a new link.',
    then: null,
  },
  access_unavailable: {
    title: 'The shop cannot check your sign-in right now', text: 'Nothing was paid. Try again in a moment.',
    then: 'try again',
  },
  session_rejected: {
    title: 'This invoice cannot be paid', text: 'The payment provider does not accept it. Ask the shop for a new link.',
    then: null,
  },
  invalid_request: wrongAddress,
  invalid_options: wrongAddress,
  too_many_requests: { title: 'Too many attempts', text: 'Wait a moment, then try again.', then: 'try again' },
  too_slow: { title: 'The connection is slow', text: 'Nothing was paid. Try again.', then: 'try again' },
  vendor_busy: {
    title: 'The payment provider is busy', text: 'Nothing was paid. Try again in a moment.', then: 'try again',
  },
  vendor_unavailable: {
    title: 'The payment provider cannot be reached', text: 'Nothing was paid. Try again in a few minutes.',
    then: 'try again',
  },
  misconfigured: {
    title: 'The shop is not set up correctly', text: 'Nothing was paid. Tell the shop the reference below.',
    then: 'tell',
  },
  network: { title: 'The shop cannot be reached', text: 'Check your connection, then try again.', then: 'try again' },
  timeout: { title: 'The shop took too long to respond', text: 'Nothing was paid. Try again.', then: 'try again' },
  http_error: { title: 'The shop did not respond', text: 'Nothing was paid. Try again in a moment.', then: 'try again' },
  invalid_answer: wrongPage,
  aborted: { title: 'The page stopped waiting', text: 'Nothing was paid. Try again.', then: 'try again' },
  method_not_allowed: wrongPage,
  too_large: wrongPage,
  unsupported_media_type: wrongPage,
  blocked: wrongPage,
  callback_failed: wrongPage,
};

// MARK: What the developer sees

/**
 * @param {'starting' | 'ready' | 'renewing' | 'failed'} state
 * @param {string} text
 */
function status(state, text) {
  byID('status').dataset.state = state;
  byID('status').textContent = text;
}

/**
 * Announces the result of a user's action to screen readers. Nothing that happens by itself is announced.
 *
 * @param {string} text
 */
function announce(text) {
  byID('announcements').textContent = text;
}

/** The start of the request or call that the next steps belong to. */
let beginning = 0;

/**
 * @param {'waiting' | 'active' | 'done' | 'failed' | 'skipped'} state
 * @param {number[]} numbers
 */
function steps(state, ...numbers) {
  const time = `${new Date().toLocaleTimeString('en-GB')}, ${Math.round(performance.now() - beginning)} ms`;
  const words = {
    waiting: 'Not yet', active: 'Now', done: `Done ${time}`, failed: `Failed ${time}`, skipped: 'Not reached',
  };
  for (const number of numbers) {
    const step = /** @type {HTMLElement} */ (document.querySelector(`[data-step="${number}"]`));
    step.dataset.state = state;
    let text = step.querySelector('.state');
    if (!text) {
      text = document.createElement('span');
      text.className = 'state';
      step.append(text);
    }
    text.textContent = words[state];
  }
}

/** Codes for which nothing was sent, or the broker refused before it called the vendor. */
const refusals = [
  'blocked', 'invalid_options', 'callback_failed', 'sign_in', 'forbidden', 'access_unavailable', 'too_many_requests',
  'invalid_request', 'method_not_allowed', 'unsupported_media_type', 'too_large', 'too_slow',
];
/** Codes for which the broker could not get a token from the vendor. */
const vendorFaults = ['session_rejected', 'vendor_busy', 'vendor_unavailable', 'misconfigured'];

/**
 * Shows why the flow stopped, and marks a step as failed only if it was tried.
 *
 * @param {unknown} error
 * @param {string} code
 */
function showStop(error, code) {
  for (const step of document.querySelectorAll('[data-state="active"][data-step]')) {
    const number = Number(/** @type {HTMLElement} */ (step).dataset.step);
    if (number === 1) {
      const failed = vendorFaults.includes(code) ? 1 : refusals.includes(code) ? null : 3;
      steps('skipped', 1, 2, 3, 4, 5, 6, 7, 8);
      if (failed) steps('failed', failed);
    } else if (number === 6 && error instanceof CheckoutTokenError && error.status !== null) {
      steps('done', 6);
      steps('failed', 7);
    } else {
      steps('failed', number);
    }
  }
  if (error instanceof CheckoutTokenError) {
    const incident = error.incident ? `, incident ${error.incident}` : '';
    const asked = refusals.includes(code) ? ' The vendor was not called.' : '';
    status('failed', `${error.status ?? 'No response'} ${code}${incident}.${asked}`);
    if (code === 'sign_in') byID('visitor').textContent = 'not signed in';
  } else if (error instanceof VendorError) {
    status('failed', error.status ? `${error.status} from the vendor.` : 'No response from the vendor.');
  } else {
    status('failed', String(error));
  }
}

/** The order in which claims are shown. All others follow by name, since their order in a token varies. */
const claimOrder = ['partner_id', 'client_id', 'customer_id', 'invoice_id', 'exp'];

/** @param {string} token */
function showToken(token) {
  const info = checkoutToken?.current;
  if (!info) return;
  byID('token-id').textContent = info.tokenId;
  byID('token-lifetime').textContent = `left of ${life(info.expiresIn)}`;
  const said = claims(token);
  const rest = Object.keys(said).filter((name) => !claimOrder.includes(name)).sort();
  const names = [...claimOrder.filter((name) => name in said), ...rest];
  byID('token-claims').replaceChildren(...names.map((name) => {
    const row = document.createElement('tr');
    const header = document.createElement('th');
    header.scope = 'row';
    header.textContent = name;
    const cell = document.createElement('td');
    cell.dataset.claim = name;
    const value = typeof said[name] === 'string' ? said[name] : JSON.stringify(said[name]);
    cell.textContent = name === 'exp' ? `${value} (${info.expiresAt.toLocaleTimeString('en-GB')})` : String(value);
    row.append(header, cell);
    return row;
  }));
  countDown();
}

/** Shows the remaining time in whole seconds, rounded up, which never exceeds the token's `expiresIn`. */
function countDown() {
  const info = checkoutToken?.current;
  if (!info) return;
  const text = life(Math.ceil(info.timeLeft / 1000));
  if (byID('token-countdown').textContent !== text) byID('token-countdown').textContent = text;
  const left = info.timeLeft / 1000 / (info.expiresIn || 1);
  /** @type {HTMLProgressElement} */ (byID('token-life')).value = Math.min(1, left);
}

/** @param {number} seconds */
function life(seconds) {
  if (seconds < 60) return `${seconds} s`;
  const rest = seconds % 60;
  return `${Math.floor(seconds / 60)} min${rest > 0 ? ` ${rest} s` : ''}`;
}

/** @param {string} id */
function count(id) {
  byID(id).textContent = String(Number(byID(id).textContent) + 1);
}

/** @type {typeof window.fetch} */
const countedFetch = (...request) => {
  count('broker-requests');
  return window.fetch(...request);
};

// MARK: What the page does

/** @type {import('./checkout-token.js').CheckoutToken | null} */
let checkoutToken = null;
/** @type {AlternativeClient} */
let client;
/** @type {ReturnType<AlternativeClient['createPaymentFlow']> | null} */
let flow = null;
let hasInvoice = false;
let isPaid = false;

async function start() {
  status('starting', 'Requesting a token from the shop’s server.');
  const config = await configuration();
  showConfiguration(config);
  checkoutToken ??= createCheckoutToken({
    endpoint: config.tokenEndpoint, customerId: config.asked.customerId, invoiceId: config.asked.invoiceId, onWait,
    fetch: countedFetch,
  });
  beginning = performance.now();
  steps('waiting', 2, 3, 4, 5, 6, 7, 8);
  steps('active', 1);
  const { accessToken, onAccessTokenExpired } = await checkoutToken.forClient();
  steps('done', 1, 2, 3);
  showToken(accessToken);
  AlternativeClient.environments.sandbox = config.vendor;
  client = await AlternativeClient.create({
    accessToken, environment: config.environment, onAccessTokenExpired: () => renew(onAccessTokenExpired),
  });
  observe(client);
  flow = client.createPaymentFlow({
    containerId: 'payment-flow', invoiceId: config.asked.invoiceId, onPaymentError: showError,
  });
}

/**
 * Gets another token for the SDK, and shows the steps.
 *
 * @param {() => Promise<string>} onAccessTokenExpired
 */
async function renew(onAccessTokenExpired) {
  steps('done', 5);
  steps('active', 6);
  status('renewing', 'The token was refused. Requesting another one.');
  const wasRefusedEarly = (checkoutToken?.current?.timeLeft ?? 0) > 0;
  const token = await onAccessTokenExpired();
  steps('done', 6, 7);
  count('token-renewals');
  if (wasRefusedEarly) count('token-replacements');
  showToken(token);
  return token;
}

let timer = 0;

/**
 * Reads the invoice again once the token has expired, which makes the SDK request another one. This is only for the
 * demo: in a shop's page the SDK requests a token when it needs one. The browser's time of day may be wrong and is not
 * used.
 */
function watch() {
  clearTimeout(timer);
  const left = checkoutToken?.current?.timeLeft ?? 0;
  // A second later, since `expiresIn` is rounded down. At most an hour at a time, since timers overflow.
  timer = window.setTimeout(() => (left > 3_600_000 ? watch() : flow?.refresh()), Math.min(left, 3_600_000) + 1_000);
}

/** @param {import('./checkout-token.js').CheckoutTokenPause} pause */
function onWait({ seconds: pause, error }) {
  const { title } = plainWords(error);
  status('renewing', `${title}. Trying again in ${Math.ceil(pause)} s.`);
}

/** @param {AlternativeClient} client */
function observe(client) {
  client.addEventListener('request', () => count('vendor-calls'));
  client.addEventListener('call', () => {
    beginning = performance.now();
    steps('active', 4);
  });
  client.addEventListener('answer', () => steps('done', 4));
  client.addEventListener('refused', () => {
    steps('done', 4);
    steps('waiting', 6, 7, 8);
    steps('active', 5);
  });
  client.addEventListener('renewed', () => steps('active', 8));
  client.addEventListener('resumed', () => steps('done', 8));
  client.addEventListener('invoice', (event) => {
    isPaid = /** @type {CustomEvent} */ (event).detail.status === 'paid';
    byID('invoice-waiting').hidden = true;
    hideError();
    if (!hasInvoice) for (const id of ['read-again', 'pretend-refused']) setBusy(id, false);
    hasInvoice = true;
    watch();
    const at = new Date().toLocaleTimeString('en-GB');
    status('ready', `${isPaid ? 'Paid' : 'Ready to pay'}. Last call at ${at}.`);
  });
}

/**
 * Returns the server's configuration and the session to request: `?customer=…&invoice=…` or, without them, the
 * visitor's own. The parameters do not change who is signed in, which depends only on the session cookie.
 */
async function configuration() {
  const response = await fetch('config.json', { cache: 'no-store' });
  const config = await response.json();
  const query = new URLSearchParams(location.search);
  return {
    ...config,
    asked: {
      customerId: query.get('customer') ?? config.customerId, invoiceId: query.get('invoice') ?? config.invoiceId,
    },
  };
}

/**
 * @typedef {{ customerId: string, invoiceId: string }} Session
 * @param {Session & { shop: string, tokenEndpoint: string, asked: Session, other?: Session }} config
 */
function showConfiguration({ shop, tokenEndpoint, customerId, invoiceId, asked, other }) {
  byID('shop').textContent = shop;
  byID('shop-mark').textContent = shop.charAt(0);
  byID('visitor').textContent = `${customerId} (HttpOnly cookie)`;
  const foreign = asked.customerId === customerId ? '' : ' (not the session’s)';
  byID('asked-for').textContent = `${asked.invoiceId} of ${asked.customerId}${foreign}`;
  const isOwn = asked.customerId === customerId && asked.invoiceId === invoiceId;
  const link = /** @type {HTMLAnchorElement} */ (byID('switch'));
  if (!isOwn) {
    link.href = './';
    link.textContent = `Back to ${customerId}’s own invoice`;
    link.hidden = false;
  } else if (other) {
    link.href = `?${new URLSearchParams({ customer: other.customerId, invoice: other.invoiceId })}`;
    link.textContent = `Open this page for ${other.customerId}’s invoice`;
    link.hidden = false;
  }
  if (other && !isAsking) {
    isAsking = true;
    offerToAsk(createCheckoutToken({ endpoint: tokenEndpoint, ...other, maxWait: 5_000, fetch: countedFetch }), other);
  }
}

let isAsking = false;

/**
 * Lets the visitor request another customer's token, which the broker should refuse.
 *
 * @param {import('./checkout-token.js').CheckoutToken} otherToken
 * @param {Session} other
 */
function offerToAsk(otherToken, { customerId }) {
  byID('try-other').textContent = `Ask for ${customerId}’s token`;
  setBusy('try-other', false);
  whenClicked('try-other', async () => {
    try {
      await otherToken.get();
      showAnswer('given', 'A token was issued.', 'This must not happen: nothing checked who owns the invoice.');
    } catch (error) {
      const { status: number, code } = error instanceof CheckoutTokenError ? error : { status: null, code: 'page' };
      const isRefusal = code === 'forbidden' || code === 'sign_in';
      showAnswer(
        isRefusal ? 'refused' : 'unclear', `${number ?? 'No response'} ${code}.`,
        isRefusal
          ? 'The vendor was not called. An invoice that does not exist gets the same response.'
          : plainWords(error).title,
      );
    }
  });
}

/**
 * @param {'given' | 'refused' | 'unclear'} state
 * @param {string} verdict
 * @param {string} text
 */
function showAnswer(state, verdict, text) {
  byID('answer').dataset.state = state;
  byID('answer-verdict').textContent = verdict;
  byID('answer-text').textContent = text;
}

/** Starts the flow, or continues where it stopped. */
async function proceed() {
  try {
    if (flow) await flow.refresh();
    else await start();
  } catch (error) {
    showError(error);
  }
}

byID('retry').addEventListener('click', () => {
  if (byID('retry').dataset.then === 'sign in') {
    // In this demo, the page itself signs the visitor in.
    location.reload();
    return;
  }
  byID('invoice-waiting').hidden = hasInvoice;
  hideError();
  proceed();
});
whenClicked('read-again', async () => {
  await flow?.refresh();
  if (byID('status').dataset.state === 'ready') announce('The invoice was read again.');
});
whenClicked('pretend-refused', async () => {
  client.spoilNextCall();
  await flow?.refresh();
  if (byID('status').dataset.state === 'ready') announce('The token was refused and replaced. The page continued.');
});

setInterval(countDown, 250);
proceed();
