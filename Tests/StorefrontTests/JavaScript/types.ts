// Shows how a page written in TypeScript uses the module. `tsc` checks this file; nothing runs it.
import {
  CheckoutTokenError, createCheckoutToken, type CheckoutToken, type CheckoutTokenErrorCode, type CheckoutTokenInfo,
} from '../../../Samples/Storefront/checkout-token.js';

const controller = new AbortController();
export const checkoutToken: CheckoutToken = createCheckoutToken({
  customerId: 'cus_1', invoiceId: 'inv_1', endpoint: new URL('https://broker.example/'), credentials: 'include',
  headers: async () => ({ Authorization: 'Bearer x' }), timeout: 1_000, maxWait: Infinity, signal: controller.signal,
  onWait: ({ seconds, error }) => console.log(seconds.toFixed(), error.code), fetch,
});

// The declaration of the vendor's SDK.
export interface ClientOptions {
  accessToken: string;
  environment: string;
  onAccessTokenExpired: () => Promise<string>;
}
export async function options(): Promise<ClientOptions[]> {
  return [
    { ...(await checkoutToken.forClient()), environment: 'sandbox' },
    { accessToken: await checkoutToken.get(), onAccessTokenExpired: checkoutToken, environment: 'sandbox' },
    { accessToken: await checkoutToken(), onAccessTokenExpired: () => checkoutToken.refused(), environment: 'sandbox' },
  ];
}

export async function failure(): Promise<string> {
  try {
    return await checkoutToken.get({ signal: controller.signal });
  } catch (error) {
    if (!(error instanceof CheckoutTokenError)) throw error;
    const code: CheckoutTokenErrorCode = error.code;
    const status: number | null = error.status;
    const seconds: number | null = error.retryAfter;
    // @ts-expect-error There is no such code.
    if (code === 'unauthenticated') return 'never';
    return code === 'sign_in' ? `sign in, ${error.brokerCode}` : `${status} ${seconds} ${error.incident}`;
  }
}

export const current: CheckoutTokenInfo | null = checkoutToken.current;
export const left: number = current?.timeLeft ?? 0;

// @ts-expect-error An id is missing.
createCheckoutToken({ customerId: 'cus_1' });
// @ts-expect-error An id is a string.
createCheckoutToken({ customerId: 1, invoiceId: 'inv_1' });
// @ts-expect-error There is no such option.
createCheckoutToken({ customerId: 'cus_1', invoiceId: 'inv_1', retries: 3 });
// @ts-expect-error The description is read-only.
checkoutToken.current = null;
