// @ts-check
import { AlternativeClient, VendorError, claims } from './alternative-client.js';
import { CheckoutTokenError, createCheckoutToken } from './checkout-token.js';

/** @param {string} id */
const byID = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

// Not `disabled`, which would take the keyboard's focus away from the button.
const isBusy = (/** @type {string} */ id) => byID(id).getAttribute('aria-disabled') === 'true';
const setBusy = (/** @type {string} */ id, /** @type {boolean} */ value) => {
  byID(id).setAttribute('aria-disabled', String(value));
};

/**
 * Does something for each click, except while it is still being done.
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

// MARK: What the page shows

/**
 * @param {'starting' | 'ready' | 'renewing' | 'failed'} state
 * @param {string} text
 */
function status(state, text) {
  byID('status').dataset.state = state;
  byID('status').textContent = text;
}

/**
 * For screen readers; only what somebody asked for, and what happens for the first time.
 *
 * @param {string} text
 */
function announce(text) {
  byID('announcements').textContent = text;
}

/**
 * @param {'waiting' | 'active' | 'done' | 'failed'} state
 * @param {number[]} numbers
 */
function steps(state, ...numbers) {
  for (const number of numbers) {
    const step = /** @type {HTMLElement} */ (document.querySelector(`[data-step="${number}"]`));
    step.dataset.state = state;
    if (state === 'done') step.dataset.at = new Date().toLocaleTimeString('en-GB');
    else delete step.dataset.at;
  }
}

/** @param {string} token */
function showToken(token) {
  const info = checkoutToken?.current;
  if (!info) return;
  const said = claims(token);
  byID('token-id').textContent = info.tokenId;
  byID('token-lifetime').textContent = seconds(info.expiresIn);
  byID('token-claims').replaceChildren(...Object.entries(said).flatMap(([name, value]) => {
    const term = document.createElement('dt');
    term.textContent = name;
    const text = document.createElement('dd');
    text.dataset.claim = name;
    const time = info.expiresAt.toLocaleTimeString('en-GB');
    text.textContent = name === 'exp' ? `${time} (${value})` : String(value);
    return [term, text];
  }));
  countDown();
}

function countDown() {
  const info = checkoutToken?.current;
  if (!info) return;
  const left = info.timeLeft / 1000;
  const text = seconds(Math.ceil(left));
  if (byID('token-countdown').textContent !== text) byID('token-countdown').textContent = text;
  /** @type {HTMLProgressElement} */ (byID('token-life')).value = Math.min(1, left / (info.expiresIn || 1));
}

/** @param {number} count */
function seconds(count) {
  return count < 120 ? `${count} s` : `${Math.floor(count / 60)} min`;
}

/** @param {unknown} error */
function showError(error) {
  const { title, text, detail } = plainWords(error);
  byID('error-title').textContent = title;
  byID('error-text').textContent = text;
  byID('error-detail').textContent = detail;
  byID('error').dataset.code = error instanceof CheckoutTokenError ? error.code : 'vendor';
  byID('error').hidden = false;
  byID('invoice-waiting').hidden = true;
  for (const step of document.querySelectorAll('[data-state="active"][data-step]')) {
    steps('failed', Number(/** @type {HTMLElement} */ (step).dataset.step));
  }
  status('failed', 'Stopped: see above.');
}

/**
 * @param {unknown} error
 * @returns {{ title: string, text: string, detail: string }}
 */
function plainWords(error) {
  if (error instanceof CheckoutTokenError) {
    const detail = [
      `Code ${error.code}`, error.status && `status ${error.status}`, error.incident && `incident ${error.incident}`,
    ].filter(Boolean).join(', ');
    return { ...wordsForCodes[error.code], detail };
  }
  if (error instanceof VendorError) {
    return {
      title: 'The invoice could not be read',
      text: error.status === 429 ? 'The payment provider is busy. Wait a second and try again.' : error.message,
      detail: error.status ? `Status ${error.status} from the vendor` : 'No answer from the vendor',
    };
  }
  return { title: 'Something went wrong in this page', text: 'Try again. If it stays, reload the page.', detail: '' };
}

const wrongPage = { title: 'This page does not work', text: 'Nothing was paid. Tell the shop the code below.' };
const wrongAddress = {
  title: 'The page asked the wrong way', text: 'The customer or the invoice in the address is not valid.',
};

/** @type {Record<import('./checkout-token.js').CheckoutTokenErrorCode, { title: string, text: string }>} */
const wordsForCodes = {
  sign_in: { title: 'You are not signed in', text: 'Sign in to the shop, then try again.' },
  forbidden: {
    title: 'This invoice is not yours to pay', text: 'You are signed in, but not as someone who may pay it.',
  },
  access_unavailable: {
    title: 'The shop cannot check your sign-in right now', text: 'Nothing was paid. Try again in a moment.',
  },
  session_rejected: {
    title: 'There is no such invoice', text: 'The payment provider does not know this customer or this invoice.',
  },
  invalid_request: wrongAddress,
  invalid_options: wrongAddress,
  too_many_requests: { title: 'Too many tries', text: 'Wait a moment, then try again.' },
  too_slow: { title: 'The connection is slow', text: 'Nothing was paid. Try again.' },
  vendor_busy: { title: 'The payment provider is busy', text: 'Nothing was paid. Try again in a moment.' },
  vendor_unavailable: {
    title: 'The payment provider cannot be reached', text: 'Nothing was paid. Try again in a few minutes.',
  },
  misconfigured: {
    title: 'The shop is not set up correctly', text: 'Nothing was paid. Tell the shop the incident number below.',
  },
  network: { title: 'The shop cannot be reached', text: 'Check your connection, then try again.' },
  timeout: { title: 'The shop takes too long to answer', text: 'Nothing was paid. Try again.' },
  http_error: { title: 'The shop gave no answer', text: 'Nothing was paid. Try again in a moment.' },
  invalid_answer: {
    title: 'The shop answered in a way this page does not understand', text: 'Nothing was paid. Try again.',
  },
  aborted: { title: 'The page stopped waiting', text: 'Nothing was paid. Try again.' },
  method_not_allowed: wrongPage,
  too_large: wrongPage,
  unsupported_media_type: wrongPage,
  blocked: wrongPage,
  callback_failed: wrongPage,
};

// MARK: What the page does

/** @type {import('./checkout-token.js').CheckoutToken | null} */
let checkoutToken = null;
/** @type {AlternativeClient} */
let client;
/** @type {ReturnType<AlternativeClient['createPaymentFlow']> | null} */
let flow = null;
let hasInvoice = false;
let renewals = 0;
let replacements = 0;

async function start() {
  status('starting', 'Asking the shop’s server for a token.');
  steps('waiting', 1, 2, 3, 4, 5, 6, 7, 8);
  steps('active', 1);
  const config = await configuration();
  showDoor(config);
  checkoutToken = createCheckoutToken({
    endpoint: config.tokenEndpoint, customerId: config.customerId, invoiceId: config.invoiceId, onWait,
  });
  const { accessToken, onAccessTokenExpired } = await checkoutToken.forClient();
  steps('done', 1, 2, 3);
  showToken(accessToken);
  AlternativeClient.environments.sandbox = config.vendor;
  client = await AlternativeClient.create({
    accessToken, environment: config.environment, onAccessTokenExpired: () => renew(onAccessTokenExpired),
  });
  observe(client);
  flow = client.createPaymentFlow({
    containerId: 'payment-flow', invoiceId: config.invoiceId,
    onPaymentSuccess: () => {
      byID('payment-result').textContent = 'Paid, for show. No money moved.';
      byID('payment-result').hidden = false;
      announce('Paid, for show. No money moved.');
    },
    onPaymentError: showError,
  });
}

/**
 * Gets the SDK another token, and shows that.
 *
 * @param {() => Promise<string>} onAccessTokenExpired
 */
async function renew(onAccessTokenExpired) {
  steps('done', 5);
  steps('active', 6);
  status('renewing', 'The token was refused. Asking for another one.');
  const wasRefusedEarly = (checkoutToken?.current?.timeLeft ?? 0) > 0;
  const token = await onAccessTokenExpired();
  steps('done', 6, 7);
  renewals += 1;
  if (wasRefusedEarly) replacements += 1;
  byID('token-renewals').textContent = String(renewals);
  byID('token-replacements').textContent = String(replacements);
  showToken(token);
  return token;
}

let timer = 0;

/**
 * Reads the invoice again once the token has ended, which makes the SDK ask for another one. For show only: a shop's
 * page need not do so, since the SDK asks when it needs one. The browser's time of day may be wrong and is not used.
 */
function watch() {
  clearTimeout(timer);
  const left = checkoutToken?.current?.timeLeft ?? 0;
  // A second later, since `expiresIn` is rounded down. Not in years, which a timer cannot count.
  timer = window.setTimeout(() => (left > 3_600_000 ? watch() : flow?.refresh()), Math.min(left, 3_600_000) + 1_000);
}

/** @param {import('./checkout-token.js').CheckoutTokenPause} pause */
function onWait({ seconds: pause, error }) {
  const { title } = plainWords(error);
  status('renewing', `${title}. Trying again in ${Math.ceil(pause)} s.`);
  announce(`${title}. Trying again.`);
}

/** @param {AlternativeClient} client */
function observe(client) {
  client.addEventListener('call', () => steps('active', 4));
  client.addEventListener('answer', () => steps('done', 4));
  client.addEventListener('refused', () => {
    steps('done', 4);
    steps('waiting', 6, 7, 8);
    steps('active', 5);
  });
  client.addEventListener('renewed', () => steps('active', 8));
  client.addEventListener('resumed', () => steps('done', 8));
  client.addEventListener('invoice', () => {
    byID('invoice-waiting').hidden = true;
    byID('error').hidden = true;
    if (!hasInvoice) for (const id of ['read-again', 'pretend-refused']) setBusy(id, false);
    hasInvoice = true;
    watch();
    const at = new Date().toLocaleTimeString('en-GB');
    status('ready', `${renewals > 0 ? 'Renewed and still on the same page. ' : ''}Invoice read at ${at}.`);
  });
}

/** What the server says, and what the address says over it: `?customer=…&invoice=…`. */
async function configuration() {
  const response = await fetch('config.json', { cache: 'no-store' });
  const config = await response.json();
  const query = new URLSearchParams(location.search);
  return {
    ...config,
    customerId: query.get('customer') ?? config.customerId,
    invoiceId: query.get('invoice') ?? config.invoiceId,
  };
}

/**
 * The visitor may try for somebody else's invoice, and should not get it.
 *
 * @param {{ tokenEndpoint: string, customerId: string, other?: { customerId: string, invoiceId: string } }} config
 */
function showDoor({ tokenEndpoint, customerId, other }) {
  if (!other) return;
  byID('visitor').textContent = customerId;
  byID('other-customer').textContent = other.customerId;
  byID('door').hidden = false;
  const otherToken = createCheckoutToken({ endpoint: tokenEndpoint, ...other, maxWait: 5_000 });
  whenClicked('try-other', async () => {
    try {
      await otherToken.get();
      showAnswer('given', 'A token was given', 'That must not happen: this server does not check whose invoice it is.');
    } catch (error) {
      const { status: number, code } = error instanceof CheckoutTokenError ? error : { status: null, code: 'page' };
      const isRefusal = code === 'forbidden' || code === 'sign_in';
      showAnswer(
        isRefusal ? 'refused' : 'unclear', `${number ?? 'No answer'} ${code}`,
        isRefusal
          ? 'Refused, and no call was made to the vendor. An invoice that does not exist gets the very same answer.'
          : plainWords(error).text,
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
  byID('other-answer').dataset.state = state;
  byID('other-status').textContent = verdict;
  byID('other-text').textContent = text;
}

/** Starts, or goes on where it stopped. */
async function proceed() {
  try {
    if (flow) await flow.refresh();
    else await start();
  } catch (error) {
    showError(error);
  }
}

byID('retry').addEventListener('click', () => {
  byID('error').hidden = true;
  byID('invoice-waiting').hidden = flow !== null;
  byID('invoice-panel').focus();
  proceed();
});
whenClicked('read-again', async () => {
  await flow?.refresh();
  if (byID('error').hidden) announce('The invoice was read again.');
});
whenClicked('pretend-refused', async () => {
  client.spoilNextCall();
  await flow?.refresh();
  if (byID('error').hidden) announce('The token was refused and replaced. The page went on.');
});

setInterval(countDown, 250);
proceed();
