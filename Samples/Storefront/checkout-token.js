// @ts-check
/**
 * Gets checkout tokens from a TokenBroker endpoint. This file stands alone: copy it into your page's code.
 *
 *     const checkoutToken = createCheckoutToken({ customerId, invoiceId });
 *     const client = await AlternativeClient.create({
 *       accessToken: await checkoutToken(),
 *       environment: 'production',
 *       onAccessTokenExpired: checkoutToken,
 *     });
 *
 * The token goes to the caller and nowhere else: it is not stored, logged or put into an error.
 */

/**
 * @typedef {object} CheckoutTokenOptions
 * @property {string} customerId The vendor's id of the customer.
 * @property {string} invoiceId The vendor's id of the invoice.
 * @property {string} [endpoint] Where the broker answers. `/api/checkout-token` unless given.
 * @property {HeadersInit | (() => HeadersInit | Promise<HeadersInit>)} [headers]
 *   Sent along, for instance your own `Authorization`. A function is called for each request.
 * @property {RequestCredentials} [credentials] `same-origin` unless given; `include` sends cookies to another origin.
 * @property {number} [timeout] Milliseconds for one request, 10,000 unless given. Longer than the broker's own deadline.
 * @property {number} [maxWait] Milliseconds for all attempts and pauses of one call together, 20,000 unless given.
 * @property {(pause: CheckoutTokenPause) => void} [onWait] Told before each pause, to say so in the page.
 * @property {typeof globalThis.fetch} [fetch] What sends the request.
 */

/**
 * @typedef {object} CheckoutTokenPause
 * @property {number} seconds How long until the next attempt.
 * @property {CheckoutTokenError} error Why the last attempt failed.
 */

/**
 * What may be shown and logged about a token.
 *
 * @typedef {object} CheckoutTokenInfo
 * @property {string} tokenId Names the token and says nothing about it.
 * @property {Date} expiresAt When it ends, by the broker's clock.
 * @property {number} expiresIn Whole seconds of life it had when it was given.
 * @property {string | null} environment The vendor's environment it belongs to.
 */

/** @typedef {(() => Promise<string>) & { readonly current: CheckoutTokenInfo | null }} CheckoutToken */

/** Why there is no token. */
export class CheckoutTokenError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{ status?: number | null, retryAfter?: number | null, incident?: string | null }} more
   */
  constructor(code, message, { status = null, retryAfter = null, incident = null } = {}) {
    super(message);
    this.name = 'CheckoutTokenError';
    /** The broker's `code`, or `network`, `timeout`, `http_error` (not the broker's words), `invalid_answer`. */
    this.code = code;
    /** The HTTP status; `null` if no answer came. */
    this.status = status;
    /** Seconds after which it may be tried again, if the answer said so. */
    this.retryAfter = retryAfter;
    /** An id that is also in the broker's log. */
    this.incident = incident;
  }
}

/**
 * @param {CheckoutTokenOptions} options
 * @returns {CheckoutToken} Each call resolves to a token that is new to the page, or rejects with a `CheckoutTokenError`.
 *   Calls made while one is under way share its outcome. `current` describes the token that was given last.
 */
export function createCheckoutToken({
  customerId,
  invoiceId,
  endpoint = '/api/checkout-token',
  headers = {},
  credentials = 'same-origin',
  timeout = 10_000,
  maxWait = 20_000,
  onWait = () => {},
  fetch: send = (...request) => globalThis.fetch(...request),
}) {
  /** @type {CheckoutTokenInfo | null} */
  let current = null;
  let hasLifeLeft = () => false;
  /** @type {Promise<string> | null} */
  let underWay = null;

  async function renew() {
    const clock = stopwatch();
    // Asked again while the last token should still work: it was refused, and the broker must not give it out again.
    const replaces = current && hasLifeLeft() ? current.tokenId : undefined;
    const body = JSON.stringify({ customerId, invoiceId, replaces });
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await ask(body, Math.min(timeout, maxWait - clock()));
      } catch (error) {
        if (!(error instanceof CheckoutTokenError) || !mayPass(error)) throw error;
        const pause = pauseAfter(error, attempt);
        if (clock() + pause >= maxWait) throw error;
        onWait({ seconds: pause / 1000, error });
        await new Promise((resume) => setTimeout(resume, pause));
      }
    }
  }

  /**
   * @param {string} body
   * @param {number} limit
   */
  async function ask(body, limit) {
    const fields = new Headers(typeof headers === 'function' ? await headers() : headers);
    fields.set('Content-Type', 'application/json');
    fields.set('Accept', 'application/json, application/problem+json');
    const age = stopwatch();
    const { response, text } = await exchange({
      method: 'POST', headers: fields, body, credentials, cache: 'no-store', redirect: 'manual',
      signal: AbortSignal.timeout(Math.max(1, Math.ceil(limit))),
    });
    const answer = parsed(text);
    if (!response.ok) throw problem(response, answer);
    const { token, tokenId, expiresIn, expiresAt, environment } = answer;
    const end = new Date(expiresAt);
    const isComplete = typeof token === 'string' && token !== '' && typeof tokenId === 'string' && tokenId !== ''
      && typeof expiresIn === 'number' && expiresIn >= 0 && !Number.isNaN(end.getTime());
    if (!isComplete) {
      throw new CheckoutTokenError('invalid_answer', 'The answer is not a checkout token.', { status: response.status });
    }
    hasLifeLeft = () => age() < expiresIn * 1000;
    current = Object.freeze({
      tokenId, expiresIn, expiresAt: end, environment: typeof environment === 'string' ? environment : null,
    });
    return token;
  }

  /** @param {RequestInit} request */
  async function exchange(request) {
    try {
      const response = await send(endpoint, request);
      return { response, text: await response.text() };
    } catch (error) {
      const isTimeout = error instanceof Error && error.name === 'TimeoutError';
      throw isTimeout
        ? new CheckoutTokenError('timeout', 'The server took too long to answer.')
        : new CheckoutTokenError('network', 'The server cannot be reached.');
    }
  }

  const checkoutToken = () => {
    underWay ??= renew().finally(() => {
      underWay = null;
    });
    return underWay;
  };
  Object.defineProperty(checkoutToken, 'current', { get: () => current });
  return /** @type {CheckoutToken} */ (checkoutToken);
}

/** Milliseconds since now. The steady clock may stand still while the machine sleeps, the other may be set back. */
function stopwatch() {
  const steady = performance.now();
  const wall = Date.now();
  return () => Math.max(performance.now() - steady, Date.now() - wall);
}

/** @param {string} text */
function parsed(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

/**
 * @param {Response} response
 * @param {Record<string, unknown>} answer
 */
function problem(response, answer) {
  const { code, title, incident } = answer;
  return new CheckoutTokenError(
    typeof code === 'string' ? code : 'http_error',
    typeof title === 'string' ? title : 'The server did not give a token.',
    {
      status: response.status,
      retryAfter: secondsIn(response.headers.get('Retry-After')),
      incident: typeof incident === 'string' ? incident : null,
    },
  );
}

/** @param {string | null} retryAfter Seconds or an HTTP date. */
function secondsIn(retryAfter) {
  const text = retryAfter?.trim() ?? '';
  if (/^[0-9]+$/.test(text)) return Number(text);
  const date = Date.parse(text);
  return Number.isNaN(date) ? null : Math.max(0, (date - Date.now()) / 1000);
}

/** @param {CheckoutTokenError} error Whether a later attempt may fare better. */
function mayPass({ status, code }) {
  if (status === null) return code === 'network' || code === 'timeout';
  return [408, 429, 502, 503, 504].includes(status);
}

/**
 * Milliseconds; a little at random, so that many pages do not come back at the same moment.
 *
 * @param {CheckoutTokenError} error
 * @param {number} attempt
 */
function pauseAfter({ retryAfter }, attempt) {
  if (retryAfter !== null) return retryAfter * 1000 + 100 + Math.random() * 200;
  return 500 * 2 ** attempt * (0.5 + Math.random() / 2);
}
