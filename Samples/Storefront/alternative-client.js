// @ts-check
/**
 * A stand-in for the vendor's browser SDK, `@getalternative/partner-sdk`, for the sandbox only: the same way in, and
 * as little behind it as shows what a token does. In your page, load the vendor's SDK instead.
 *
 * Beyond the vendor's surface it has `readInvoice()`, `spoilNextCall()` and events, so that the sample can show what
 * goes on.
 */

/**
 * @typedef {object} Invoice
 * @property {string} id
 * @property {string} customer_id
 * @property {string} invoice_number
 * @property {string} status
 * @property {string} currency
 * @property {string} due_date
 * @property {string} created_at
 * @property {number} sub_total
 * @property {number} total
 */

/**
 * @typedef {object} ClientOptions
 * @property {string} accessToken The checkout token.
 * @property {string} environment
 * @property {() => Promise<string>} onAccessTokenExpired Resolves to a new token.
 */

/**
 * @typedef {object} FlowOptions
 * @property {string} containerId
 * @property {string} invoiceId
 * @property {(result: { invoiceId: string }) => void} [onPaymentSuccess]
 * @property {(error: unknown) => void} [onPaymentError]
 * @property {() => void} [onClose]
 */

/** The vendor said no, or cannot be reached (`status` is `null`). */
export class VendorError extends Error {
  /**
   * @param {number | null} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.name = 'VendorError';
    this.status = status;
  }
}

/**
 * Its events: `call`, then `answer`, or `refused` (a 401; `onAccessTokenExpired` is called next), `renewed` and
 * `resumed`. `invoice` whenever one was read.
 */
export class AlternativeClient extends EventTarget {
  /** Where each environment is. The sandbox is wherever the page says. */
  static environments = { sandbox: '' };

  /** @param {ClientOptions} options */
  static async create({ accessToken, environment, onAccessTokenExpired }) {
    if (environment !== 'sandbox') {
      throw new VendorError(null, `The stand-in knows only the sandbox, not "${environment}". Load the vendor's SDK.`);
    }
    return new AlternativeClient(AlternativeClient.environments.sandbox, accessToken, onAccessTokenExpired);
  }

  #base;
  #token;
  #onAccessTokenExpired;
  #isNextCallSpoilt = false;
  /** @type {Promise<void> | null} */
  #renewal = null;

  /**
   * @param {string} base
   * @param {string} token
   * @param {() => Promise<string>} onAccessTokenExpired
   */
  constructor(base, token, onAccessTokenExpired) {
    super();
    this.#base = base.replace(/[/]+$/, '');
    this.#token = token;
    this.#onAccessTokenExpired = onAccessTokenExpired;
  }

  /** @param {FlowOptions} options */
  createPaymentFlow(options) {
    return new PaymentFlow(this, options);
  }

  /** Reads the session's invoice, with a new token if this one is refused. */
  async readInvoice() {
    const invoice = /** @type {Invoice} */ (await this.#get('/checkout/v1/invoice'));
    this.dispatchEvent(new CustomEvent('invoice', { detail: invoice }));
    return invoice;
  }

  /** Sends the next call with a damaged token, which the vendor refuses. */
  spoilNextCall() {
    this.#isNextCallSpoilt = true;
  }

  /** @param {string} path */
  async #get(path) {
    this.dispatchEvent(new Event('call'));
    const token = this.#token;
    const first = await this.#send(path, token);
    if (first.status !== 401) {
      this.dispatchEvent(new Event('answer'));
      return body(first);
    }
    this.dispatchEvent(new Event('refused'));
    await this.#renew(token);
    const second = await this.#send(path, this.#token);
    if (second.ok) this.dispatchEvent(new Event('resumed'));
    return body(second);
  }

  /**
   * @param {string} path
   * @param {string} token
   */
  async #send(path, token) {
    const spoilt = this.#isNextCallSpoilt;
    this.#isNextCallSpoilt = false;
    const call = async () => {
      // Safari before 16 has no `AbortSignal.timeout`.
      const controller = new AbortController();
      const timer = setTimeout(() => controller.abort(), 10_000);
      try {
        return await fetch(this.#base + path, {
          headers: { Authorization: `Bearer ${token}${spoilt ? 'spoilt' : ''}` },
          cache: 'no-store', credentials: 'omit', signal: controller.signal,
        });
      } finally {
        clearTimeout(timer);
      }
    };
    try {
      const response = await call();
      if (response.status !== 429) return response;
      // The vendor counts calls by the second.
      await new Promise((resume) => setTimeout(resume, 1_000));
      return await call();
    } catch {
      throw new VendorError(null, 'The vendor cannot be reached.');
    }
  }

  /**
   * Once for all calls that were refused with the same token.
   *
   * @param {string} refused
   */
  async #renew(refused) {
    if (this.#token === refused) {
      this.#renewal ??= this.#onAccessTokenExpired()
        .then((token) => {
          this.#token = token;
        })
        .finally(() => {
          this.#renewal = null;
        });
      await this.#renewal;
    }
    this.dispatchEvent(new Event('renewed'));
  }
}

/** Shows the invoice in a container. */
class PaymentFlow {
  #client;
  #options;
  #container;
  #isOpen = true;
  /** @param {Event} event */
  #onInvoice = (event) => this.#show(/** @type {CustomEvent<Invoice>} */ (event).detail);

  /**
   * @param {AlternativeClient} client
   * @param {FlowOptions} options
   */
  constructor(client, options) {
    const container = document.getElementById(options.containerId);
    if (!container) throw new VendorError(null, `There is no element with the id "${options.containerId}".`);
    this.#client = client;
    this.#options = options;
    this.#container = container;
    client.addEventListener('invoice', this.#onInvoice);
    this.refresh();
  }

  /** Reads the invoice again. */
  async refresh() {
    try {
      const { id } = await this.#client.readInvoice();
      if (id !== this.#options.invoiceId) throw new VendorError(200, 'The token belongs to another invoice.');
    } catch (error) {
      if (this.#isOpen) this.#options.onPaymentError?.(error);
    }
  }

  close() {
    this.#isOpen = false;
    this.#client.removeEventListener('invoice', this.#onInvoice);
    this.#container.replaceChildren();
    this.#options.onClose?.();
  }

  /** @param {HTMLElement} button Not `disabled` meanwhile, which would take the keyboard's focus away. */
  async #pay(button) {
    if (button.getAttribute('aria-disabled') === 'true') return;
    button.setAttribute('aria-disabled', 'true');
    try {
      const { id } = await this.#client.readInvoice();
      this.#options.onPaymentSuccess?.({ invoiceId: id });
    } catch (error) {
      this.#options.onPaymentError?.(error);
    } finally {
      button.removeAttribute('aria-disabled');
    }
  }

  /** @param {Invoice} invoice */
  #show(invoice) {
    const money = new Intl.NumberFormat('en', { style: 'currency', currency: invoice.currency });
    /** @type {Record<string, string>} */
    const texts = {
      number: `Invoice ${invoice.invoice_number}`,
      status: invoice.status,
      total: money.format(invoice.total),
      due: `Due ${day(invoice.due_date)}`,
      issued: day(invoice.created_at),
      customer: invoice.customer_id,
      subtotal: money.format(invoice.sub_total),
      tax: money.format(invoice.total - invoice.sub_total),
      'total-row': money.format(invoice.total),
      pay: `Pay ${money.format(invoice.total)}`,
    };
    if (!this.#container.hasChildNodes()) this.#build();
    for (const [name, text] of Object.entries(texts)) {
      const element = this.#container.querySelector(`#invoice-${name}`);
      if (element && element.textContent !== text) element.textContent = text;
    }
  }

  #build() {
    /** @param {string} label @param {string} name */
    const row = (label, name) => [element('dt', {}, label), element('dd', { id: `invoice-${name}` })];
    const pay = element('button', { id: 'invoice-pay', type: 'button', class: 'primary' });
    pay.addEventListener('click', () => this.#pay(pay));
    this.#container.replaceChildren(
      element('div', { class: 'invoice-head' }, element('h2', { id: 'invoice-number', tabindex: '-1' }),
        element('span', { id: 'invoice-status', class: 'pill' })),
      element('p', { id: 'invoice-total', class: 'total' }),
      element('p', { id: 'invoice-due', class: 'quiet' }),
      element('dl', { class: 'rows' }, ...row('Issued', 'issued'), ...row('Customer', 'customer'),
        ...row('Subtotal', 'subtotal'), ...row('Tax', 'tax'), ...row('Total', 'total-row')),
      pay,
    );
  }
}

/** @param {Response} response */
async function body(response) {
  if (!response.ok) throw new VendorError(response.status, 'The vendor did not answer the call.');
  try {
    return await response.json();
  } catch {
    throw new VendorError(response.status, 'The vendor answered with something else.');
  }
}

/**
 * The claims of a JWT; nothing if it is none. A page has no key to check the signature with, so they are for display
 * only.
 *
 * @param {string} token
 * @returns {Record<string, unknown>}
 */
export function claims(token) {
  try {
    const [, payload = ''] = token.split('.');
    const middle = payload.replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(middle), (character) => character.charCodeAt(0));
    return Object(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return {};
  }
}

/** @param {string} date */
function day(date) {
  const parsed = new Date(date);
  if (Number.isNaN(parsed.getTime())) return date;
  return new Intl.DateTimeFormat('en', { dateStyle: 'long', timeZone: 'UTC' }).format(parsed);
}

/**
 * @param {string} name
 * @param {Record<string, string>} attributes
 * @param {(Node | string)[]} children
 */
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
