// @ts-check
import { AlternativeClient, VendorError, claims } from './alternative-client.js';
import { CheckoutTokenError, createCheckoutToken } from './checkout-token.js';

/** @param {string} id */
const byID = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const button = (/** @type {string} */ id) => /** @type {HTMLButtonElement} */ (byID(id));

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

/** @type {{ end: number, lifetime: number } | null} */
let life = null;

/** @param {string} token */
function showToken(token) {
  const info = checkoutToken.current;
  if (!info) return;
  const said = claims(token);
  life = { end: Number(said.exp) * 1000, lifetime: info.expiresIn };
  byID('token-id').textContent = info.tokenId;
  byID('token-lifetime').textContent = seconds(info.expiresIn);
  byID('token-claims').replaceChildren(...Object.entries(said).flatMap(([name, value]) => {
    const term = document.createElement('dt');
    term.textContent = name;
    const text = document.createElement('dd');
    text.dataset.claim = name;
    text.textContent = name === 'exp' ? `${new Date(life?.end ?? 0).toLocaleTimeString('en-GB')} (${value})` : String(value);
    return [term, text];
  }));
  countDown();
}

function countDown() {
  if (!life) return;
  const left = Math.max(0, (life.end - Date.now()) / 1000);
  const text = seconds(Math.ceil(left));
  if (byID('token-countdown').textContent !== text) byID('token-countdown').textContent = text;
  /** @type {HTMLProgressElement} */ (byID('token-life')).value = Math.min(1, left / (life.lifetime || 1));
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
    return { ...(wordsForCodes[error.code] ?? wordsForCodes.invalid_answer), detail };
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

/** @type {Record<string, { title: string, text: string }>} */
const wordsForCodes = {
  unauthenticated: { title: 'You are not signed in', text: 'Sign in to the shop, then try again.' },
  forbidden: { title: 'This invoice is not yours to pay', text: 'You are signed in, but not as someone who may pay it.' },
  session_rejected: {
    title: 'There is no such invoice', text: 'The payment provider does not know this customer or this invoice.',
  },
  invalid_request: { title: 'The page asked the wrong way', text: 'The customer or the invoice in the address is not valid.' },
  too_many_requests: { title: 'Too many tries', text: 'Wait a moment, then try again.' },
  vendor_busy: { title: 'The payment provider is busy', text: 'Nothing was paid. Try again in a moment.' },
  vendor_unavailable: {
    title: 'The payment provider cannot be reached', text: 'Nothing was paid. Try again in a few minutes.',
  },
  misconfigured: {
    title: 'The shop is not set up correctly', text: 'Nothing was paid. Tell the shop the incident number below.',
  },
  network: { title: 'The shop cannot be reached', text: 'Check your connection, then try again.' },
  timeout: { title: 'The shop takes too long to answer', text: 'Nothing was paid. Try again.' },
  invalid_answer: { title: 'The shop answered in a way this page does not understand', text: 'Nothing was paid. Try again.' },
};

// MARK: What the page does

/** @type {import('./checkout-token.js').CheckoutToken} */
let checkoutToken;
/** @type {AlternativeClient} */
let client;
/** @type {ReturnType<AlternativeClient['createPaymentFlow']> | null} */
let flow = null;
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
  const accessToken = await checkoutToken();
  steps('done', 1, 2, 3);
  showToken(accessToken);
  AlternativeClient.environments.sandbox = config.vendor;
  client = await AlternativeClient.create({ accessToken, environment: config.environment, onAccessTokenExpired });
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

async function onAccessTokenExpired() {
  steps('done', 5);
  steps('active', 6);
  status('renewing', 'The token was refused. Asking for another one.');
  const wasRefusedEarly = life !== null && life.end > Date.now();
  const token = await checkoutToken();
  steps('done', 6, 7);
  renewals += 1;
  if (wasRefusedEarly) replacements += 1;
  byID('token-renewals').textContent = String(renewals);
  byID('token-replacements').textContent = String(replacements);
  showToken(token);
  return token;
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
    button('read-again').disabled = false;
    button('pretend-refused').disabled = false;
    const at = new Date().toLocaleTimeString('en-GB');
    status('ready', renewals > 0 ? `Renewed and still on the same page. Invoice read at ${at}.` : `Invoice read at ${at}.`);
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
  button('try-other').onclick = async () => {
    button('try-other').disabled = true;
    try {
      await otherToken();
      showAnswer('given', 'A token was given', 'That must not happen: this server does not check whose invoice it is.');
    } catch (error) {
      const { status: number, code } = error instanceof CheckoutTokenError ? error : { status: null, code: 'page' };
      const isRefusal = code === 'forbidden' || code === 'unauthenticated';
      showAnswer(
        isRefusal ? 'refused' : 'unclear', `${number ?? 'No answer'} ${code}`,
        isRefusal
          ? 'Refused, and no call was made to the vendor. An invoice that does not exist gets the very same answer.'
          : plainWords(error).text,
      );
    } finally {
      button('try-other').disabled = false;
    }
  };
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

button('retry').addEventListener('click', () => {
  byID('error').hidden = true;
  byID('invoice-waiting').hidden = flow !== null;
  byID('invoice-panel').focus();
  proceed();
});
button('read-again').addEventListener('click', async () => {
  await flow?.refresh();
  if (byID('error').hidden) announce('The invoice was read again.');
});
button('pretend-refused').addEventListener('click', async () => {
  client.spoilNextCall();
  await flow?.refresh();
  if (byID('error').hidden) announce('The token was refused and replaced. The page went on.');
});

setInterval(countDown, 250);
proceed();
