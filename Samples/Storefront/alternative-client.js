// @ts-check
/**
 * A stand-in for the vendor's browser SDK, `@getalternative/partner-sdk`, for the sandbox only. It has the same
 * interface, but only enough behaviour to show what a token does. In your page, load the vendor's SDK instead.
 *
 * In addition to the vendor's interface it has `readInvoice()`, `payInvoice()`, `spoilNextCall()` and events, so that
 * the sample can show what happens.
 */

/**
 * An invoice: first the members that the vendor documents, then those that the sandbox adds.
 *
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
 * @property {string} customer_name
 * @property {string} memo What the invoice is for.
 * @property {{ description: string, quantity: number, unit_price: number, amount: number }[]} line_items
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

/** The vendor returned an error, or cannot be reached (`status` is `null`). */
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
 * A client of the vendor's API. For each call it dispatches `call`, and then `answer`, or `refused` (a 401, after which
 * `onAccessTokenExpired` is called), `renewed` and `resumed`. It also dispatches `request` for each request and
 * `invoice` for each invoice that it reads.
 */
export class AlternativeClient extends EventTarget {
  /** The URL of each environment. The page sets that of the sandbox. */
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

  /** Reads the session's invoice, with a new token if the current one is refused. */
  async readInvoice() {
    return this.#invoice('GET', '/checkout/v1/invoice');
  }

  /** Pays the session's invoice. An invoice that was paid in another window counts as paid. */
  async payInvoice() {
    try {
      return await this.#invoice('POST', '/checkout/v1/payments');
    } catch (error) {
      if (error instanceof VendorError && error.status === 409) return this.readInvoice();
      throw error;
    }
  }

  /** Sends the next call with a damaged token, which the vendor refuses. */
  spoilNextCall() {
    this.#isNextCallSpoilt = true;
  }

  /**
   * @param {'GET' | 'POST'} method
   * @param {string} path
   */
  async #invoice(method, path) {
    const invoice = /** @type {Invoice} */ (await this.#call(method, path));
    this.dispatchEvent(new CustomEvent('invoice', { detail: invoice }));
    return invoice;
  }

  /**
   * @param {'GET' | 'POST'} method
   * @param {string} path
   */
  async #call(method, path) {
    this.dispatchEvent(new Event('call'));
    const token = this.#token;
    const first = await this.#send(method, path, token);
    if (first.status !== 401) {
      this.dispatchEvent(new Event('answer'));
      return body(first);
    }
    this.dispatchEvent(new Event('refused'));
    await this.#renew(token);
    const second = await this.#send(method, path, this.#token);
    if (second.ok) this.dispatchEvent(new Event('resumed'));
    return body(second);
  }

  /**
   * @param {'GET' | 'POST'} method
   * @param {string} path
   * @param {string} token
   */
  async #send(method, path, token) {
    const spoilt = this.#isNextCallSpoilt;
    this.#isNextCallSpoilt = false;
    const call = async () => {
      // Safari before 16 has no `AbortSignal.timeout`.
      const controller = new AbortController();
      const timer = setTimeout(() => controller.abort(), 10_000);
      this.dispatchEvent(new Event('request'));
      try {
        return await fetch(this.#base + path, {
          method, headers: { Authorization: `Bearer ${token}${spoilt ? 'spoilt' : ''}` },
          cache: 'no-store', credentials: 'omit', signal: controller.signal,
        });
      } finally {
        clearTimeout(timer);
      }
    };
    try {
      const response = await call();
      if (response.status !== 429) return response;
      // The vendor's rate limit is per second.
      await new Promise((resume) => setTimeout(resume, 1_000));
      return await call();
    } catch {
      throw new VendorError(null, 'The vendor cannot be reached.');
    }
  }

  /**
   * Renews the token, once for all calls that were refused with the same token.
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

  /** @param {HTMLElement} button It is not `disabled` meanwhile, since that would remove the keyboard focus. */
  async #pay(button) {
    if (button.getAttribute('aria-disabled') === 'true') return;
    button.setAttribute('aria-disabled', 'true');
    try {
      const { id } = await this.#client.payInvoice();
      // Safari does not focus a clicked button.
      this.#part('result').focus();
      this.#options.onPaymentSuccess?.({ invoiceId: id });
    } catch (error) {
      this.#options.onPaymentError?.(error);
    } finally {
      button.removeAttribute('aria-disabled');
    }
  }

  /** @param {string} name */
  #part(name) {
    return /** @type {HTMLElement} */ (this.#container.querySelector(`#invoice-${name}`));
  }

  /** @param {Invoice} invoice */
  #show(invoice) {
    if (!this.#container.hasChildNodes()) this.#build(invoice);
    const { status } = invoice;
    const badge = this.#part('status');
    badge.dataset.state = status;
    const text = status.charAt(0).toUpperCase() + status.slice(1);
    if (badge.textContent !== text) badge.textContent = text;
    const result = this.#part('result');
    result.hidden = status !== 'paid';
    const pay = this.#container.querySelector('#invoice-pay');
    if (!pay || status === 'open') return;
    // The button never comes back after the payment. The keyboard focus must not disappear with it.
    const hadFocus = pay === document.activeElement;
    pay.remove();
    if (hadFocus) result.focus();
  }

  /** @param {Invoice} invoice */
  #build(invoice) {
    const format = new Intl.NumberFormat('en', { style: 'currency', currency: invoice.currency });
    const money = (/** @type {number} */ amount) => format.format(amount);
    const fact = (/** @type {string} */ label, /** @type {string} */ text) => element('div', {},
      element('dt', {}, label), element('dd', {}, text));
    const sum = (/** @type {string} */ label, /** @type {number} */ amount) => element('tr', {},
      element('th', { scope: 'row' }, label), element('td', {}, money(amount)));
    const total = sum('Total', invoice.total);
    total.className = 'total';
    total.lastElementChild?.setAttribute('id', 'invoice-total');
    const pay = element('button', { id: 'invoice-pay', type: 'button', class: 'primary' });
    pay.textContent = `Pay ${money(invoice.total)}`;
    pay.addEventListener('click', () => this.#pay(pay));
    this.#container.replaceChildren(
      element('div', { class: 'invoice-head' },
        element('h3', { id: 'invoice-number' }, `Invoice ${invoice.invoice_number}`),
        element('p', { class: 'badge-line' }, element('span', { class: 'unseen' }, 'Status: '),
          element('span', { id: 'invoice-status', class: 'badge' }))),
      element('p', { id: 'invoice-memo' }, invoice.memo),
      element('dl', { class: 'dates' }, fact('Billed to', invoice.customer_name),
        fact('Issued', day(invoice.created_at)), fact('Due', day(invoice.due_date))),
      element('table', { class: 'lines' },
        element('caption', { class: 'unseen' }, 'What the invoice is for'),
        element('thead', {}, element('tr', {}, element('th', { scope: 'col' }, 'Description'),
          element('th', { scope: 'col' }, 'Amount'))),
        element('tbody', {}, ...invoice.line_items.map((line) => element('tr', {},
          element('th', { scope: 'row' }, line.description,
            element('span', { class: 'quiet small' }, ` ${line.quantity} × ${money(line.unit_price)}`)),
          element('td', {}, money(line.amount))))),
        element('tfoot', {}, sum('Subtotal', invoice.sub_total), sum('Tax', invoice.total - invoice.sub_total), total)),
      pay,
      element('p', { id: 'invoice-result', class: 'result', tabindex: '-1', hidden: '' },
        'Paid in full. Thank you.'),
    );
  }
}

/** @param {Response} response */
async function body(response) {
  if (!response.ok) throw new VendorError(response.status, 'The vendor returned an error.');
  try {
    return await response.json();
  } catch {
    throw new VendorError(response.status, 'The response of the vendor is not JSON.');
  }
}

/**
 * Returns the claims of a JWT, or none if the text is not a JWT. A page has no key to verify the signature, so the
 * claims are only for display.
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
  return new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeZone: 'UTC' }).format(parsed);
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
