// Tests `checkout-token.js` in a world whose time the test controls. Run with `node --test`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CheckoutTokenError, Server, World, broken, createCheckoutToken, deaf, good, json, problem, silence,
} from './world.mjs';

/** Runs a test in its own world, and fails it for errors that would go unnoticed. */
function scenario(name, body) {
  test(name, async () => {
    const world = new World();
    const unseen = [];
    const note = (error) => unseen.push(error);
    process.on('unhandledRejection', note);
    try {
      await body(world, (answers, options = {}) => {
        const server = new Server(world, ...answers);
        const checkoutToken = createCheckoutToken({
          customerId: 'cus_1', invoiceId: 'inv_1', fetch: server.fetch, ...options,
        });
        return { server, checkoutToken };
      });
      await world.pass(0);
      assert.deepEqual(unseen, []);
    } finally {
      world.restore();
      process.off('unhandledRejection', note);
    }
  });
}

const hour = 3_600_000;

// MARK: Requests and refusals

scenario('a page that mounts five times makes one call and has one token', async (world, make) => {
  const { server, checkoutToken } = make([good(1), good(2)]);
  const tokens = await Promise.all([1, 2, 3].map(() => checkoutToken.get()));
  tokens.push(await checkoutToken.get(), (await checkoutToken.forClient()).accessToken);
  assert.deepEqual(tokens, Array(5).fill('token-1'));
  assert.equal(server.count, 1);
});

scenario('the first call of the callback itself asks for a token', async (world, make) => {
  const { server, checkoutToken } = make([good(1)]);
  assert.equal(await checkoutToken(), 'token-1');
  assert.deepEqual(server.replaced, [null]);
});

scenario('a refused token is replaced, and the new one is shared', async (world, make) => {
  const { server, checkoutToken } = make([good(1), good(2), good(3)]);
  await checkoutToken.get();
  assert.equal(await checkoutToken(), 'token-2');
  assert.equal(await checkoutToken.get(), 'token-2');
  assert.deepEqual(server.replaced, [null, 'id-1']);
});

scenario('concurrent refusals of one token share its successor', async (world, make) => {
  const { server, checkoutToken } = make([good(1), good(2), good(3)]);
  const clients = await Promise.all([checkoutToken.forClient(), checkoutToken.forClient()]);
  const tokens = await Promise.all([
    ...clients.map(({ onAccessTokenExpired }) => onAccessTokenExpired()), checkoutToken(), checkoutToken.get(),
  ]);
  assert.deepEqual(tokens, Array(4).fill('token-2'));
  assert.deepEqual(server.replaced, [null, 'id-1']);
});

scenario('a late refusal of the old token does not throw away the good second one', async (world, make) => {
  const { server, checkoutToken } = make([good(1), good(2), good(3)]);
  const one = await checkoutToken.forClient();
  const other = await checkoutToken.forClient();
  assert.equal(await one.onAccessTokenExpired(), 'token-2');
  assert.equal(await other.onAccessTokenExpired(), 'token-2');
  assert.equal(await checkoutToken.refused('token-1'), 'token-2');
  assert.equal(server.count, 2);
  // Now the second token is refused by a client that uses it.
  assert.equal(await other.onAccessTokenExpired(), 'token-3');
  assert.equal(await one.onAccessTokenExpired(), 'token-3');
  assert.deepEqual(server.replaced, [null, 'id-1', 'id-2']);
});

scenario('what the SDK passes to its callback is not taken for a token', async (world, make) => {
  const { server, checkoutToken } = make([good(1), good(2), good(3), good(4)]);
  const { onAccessTokenExpired } = await checkoutToken.forClient();
  assert.equal(await onAccessTokenExpired({ reason: 'expired' }), 'token-2');
  assert.equal(await checkoutToken('expired'), 'token-3');
  assert.equal(await checkoutToken.refused({ type: 'expired' }), 'token-4');
  assert.deepEqual(server.replaced, [null, 'id-1', 'id-2', 'id-3']);
});

scenario('a token that has ended is not shared and needs no replacement', async (world, make) => {
  const { server, checkoutToken } = make([good(1, { life: 60 }), good(2), good(3)]);
  await checkoutToken.get();
  await world.pass(59_999);
  assert.equal(await checkoutToken.get(), 'token-1');
  await world.pass(1);
  assert.equal(checkoutToken.current.timeLeft, 0);
  assert.equal(await checkoutToken.get(), 'token-2');
  assert.deepEqual(server.replaced, [null, null]);
});

scenario('life counts from when the request was sent', async (world, make) => {
  const { server, checkoutToken } = make([
    () => new Promise((resolve) => { setTimeout(() => resolve(good(1, { life: 10 })()), 4_000); }), good(2),
  ]);
  await world.value(checkoutToken.get());
  assert.equal(checkoutToken.current.timeLeft, 6_000);
  await world.pass(6_000);
  assert.equal(await checkoutToken.get(), 'token-2');
  assert.equal(server.count, 2);
});

scenario('a token without life is given once and not shared', async (world, make) => {
  const { server, checkoutToken } = make([good(1, { life: 0 }), good(2, { life: 0 })]);
  assert.equal(await checkoutToken.get(), 'token-1');
  assert.equal(await checkoutToken.get(), 'token-2');
  assert.equal(server.count, 2);
});

scenario('a refused token is not shared, even if its replacement fails', async (world, make) => {
  const { server, checkoutToken } = make([good(1), problem(403, 'forbidden'), good(2)]);
  await checkoutToken.get();
  assert.equal((await world.error(checkoutToken())).code, 'forbidden');
  assert.equal(await checkoutToken.get(), 'token-2');
  assert.deepEqual(server.replaced, [null, 'id-1', 'id-1']);
});

scenario('the refused token that comes back is asked for once more, with its name', async (world, make) => {
  const { server, checkoutToken } = make([good(1, { life: 60 }), good(1), good(2)]);
  const { onAccessTokenExpired } = await checkoutToken.forClient();
  // The page considers the token expired, so it sends no `replaces`.
  await world.pass(60_000);
  assert.equal(await onAccessTokenExpired(), 'token-2');
  assert.deepEqual(server.replaced, [null, null, 'id-1']);
});

scenario('the refused token under another name is asked to be replaced by that name', async (world, make) => {
  const { server, checkoutToken } = make([good(1), good(1, { tokenId: 'id-of-another-broker' }), good(2)]);
  await checkoutToken.get();
  assert.equal(await checkoutToken(), 'token-2');
  assert.deepEqual(server.replaced, [null, 'id-1', 'id-of-another-broker']);
});

scenario('a broker that only knows the refused token gets two requests, not more', async (world, make) => {
  const { server, checkoutToken } = make([good(1)]);
  await checkoutToken.get();
  const error = await world.error(checkoutToken());
  assert.equal(error.code, 'invalid_answer');
  assert.deepEqual(server.replaced, [null, 'id-1', 'id-1']);
});

scenario('a refusal while an ended token is asked for again is heeded', async (world, make) => {
  const { server, checkoutToken } = make([good(1, { life: 60 }), good(1), good(2)]);
  await checkoutToken.get();
  await world.pass(60_000);
  const asked = checkoutToken.get();
  const refused = checkoutToken.refused('token-1');
  assert.deepEqual(await Promise.all([asked, refused]), ['token-2', 'token-2']);
  assert.deepEqual(server.replaced, [null, null, 'id-1']);
});

scenario('a clock that is an hour fast or slow changes nothing', async (world, make) => {
  for (const offset of [hour, -hour]) {
    world.setClock(offset);
    const { server, checkoutToken } = make([
      good(1, { life: 60 }), problem(503, 'vendor_busy', { 'Retry-After': '1' }), good(2, { life: 60 }), good(3),
    ]);
    await checkoutToken.get();
    await world.pass(59_000);
    assert.equal(await checkoutToken.get(), 'token-1');
    assert.equal(await world.value(checkoutToken()), 'token-2');
    await world.pass(60_000);
    assert.equal(await checkoutToken.get(), 'token-3');
    assert.deepEqual(server.replaced, [null, 'id-1', 'id-1', null]);
  }
});

scenario('a clock that is set while a token is held costs at most a request', async (world, make) => {
  const { server, checkoutToken } = make([good(1), good(1), good(2)]);
  await checkoutToken.get();
  world.setClock(-hour);
  assert.equal(await checkoutToken.get(), 'token-1');
  assert.equal(server.count, 1);
  world.setClock(2 * hour);
  // The machine may have slept for these hours, so the page asks the broker, which returns the same token.
  assert.equal(await checkoutToken.get(), 'token-1');
  assert.equal(await checkoutToken.get(), 'token-1');
  assert.equal(server.count, 2);
  world.setClock(hour);
  assert.equal(await checkoutToken(), 'token-2');
  assert.deepEqual(server.replaced, [null, null, 'id-1']);
});

scenario('a token that ended while the machine slept is not shared', async (world, make) => {
  const { server, checkoutToken } = make([good(1), good(2)]);
  await checkoutToken.get();
  world.sleep(hour);
  assert.equal(await checkoutToken.get(), 'token-2');
  assert.equal(server.count, 2);
});

scenario('a clock that is set during a pause neither ends nor prolongs it', async (world, make) => {
  for (const offset of [hour, -hour]) {
    const { server, checkoutToken } = make([problem(503, 'vendor_busy', { 'Retry-After': '5' }), good(1)]);
    const token = checkoutToken.get();
    await world.pass(1_000);
    world.setClock(offset);
    assert.equal(await world.value(token), 'token-1');
    assert.deepEqual(server.pauses, [5_000]);
  }
});

scenario('what is current can be shown without the token', async (world, make) => {
  const { checkoutToken } = make([good(1)]);
  assert.equal(checkoutToken.current, null);
  await checkoutToken.get();
  const { current } = checkoutToken;
  assert.equal(current.tokenId, 'id-1');
  assert.equal(current.expiresIn, 900);
  assert.equal(current.timeLeft, 900_000);
  assert.equal(current.expiresAt.toISOString(), '2026-10-21T07:43:00.000Z');
  assert.equal(current.environment, 'sandbox');
  assert.ok(!JSON.stringify(current).includes('token-1'));
});

scenario('the request is what the broker expects', async (world, make) => {
  const { server, checkoutToken } = make([good(1)], {
    endpoint: 'https://broker.example/api/checkout-token', credentials: 'include',
    headers: async () => ({ Authorization: 'Bearer x', 'Content-Type': 'text/plain' }),
  });
  await checkoutToken.get();
  const { address, request } = server;
  assert.equal(address, 'https://broker.example/api/checkout-token');
  assert.deepEqual(JSON.parse(request.body), { customerId: 'cus_1', invoiceId: 'inv_1' });
  assert.equal(request.method, 'POST');
  assert.equal(request.credentials, 'include');
  assert.equal(request.redirect, 'manual');
  assert.equal(request.cache, 'no-store');
  assert.equal(request.headers.get('Content-Type'), 'application/json');
  assert.equal(request.headers.get('Authorization'), 'Bearer x');
});

// MARK: Pauses

const answerDate = 'Wed, 21 Oct 2026 07:28:00 GMT';

/** Returns the first pause and the value that was read. */
async function firstPause(world, make, fields) {
  const { server, checkoutToken } = make([problem(503, 'vendor_busy', fields), good(1)], { maxWait: 100_000 });
  let retryAfter = null;
  const told = createCheckoutToken({
    customerId: 'c', invoiceId: 'i', maxWait: 100_000, fetch: new Server(world, problem(503, 'vendor_busy', fields), good(1)).fetch,
    onWait: ({ error }) => { retryAfter = error.retryAfter; },
  });
  await world.value(told.get());
  assert.equal(await world.value(checkoutToken.get()), 'token-1');
  return [retryAfter, server.pauses[0]];
}

scenario('Retry-After is a count of seconds', async (world, make) => {
  assert.deepEqual(await firstPause(world, make, { 'Retry-After': '3' }), [3, 3_000]);
  assert.deepEqual(await firstPause(world, make, { 'Retry-After': '007' }), [7, 7_000]);
  assert.deepEqual(await firstPause(world, make, { 'Retry-After': ' 2 ' }), [2, 2_000]);
});

scenario('Retry-After is a date in one of three forms, read against the answer’s own', async (world, make) => {
  for (const offset of [0, hour, -2 * hour]) {
    world.setClock(offset);
    for (const date of [
      'Wed, 21 Oct 2026 07:28:30 GMT', 'Wednesday, 21-Oct-26 07:28:30 GMT', 'Wed Oct 21 07:28:30 2026',
    ]) {
      assert.deepEqual(await firstPause(world, make, { 'Retry-After': date, Date: answerDate }), [30, 30_000], date);
    }
    for (const Date of ['Wednesday, 21-Oct-26 07:28:00 GMT', 'Wed Oct 21 07:28:00 2026']) {
      const fields = { 'Retry-After': 'Wed, 21 Oct 2026 07:28:30 GMT', Date };
      assert.deepEqual(await firstPause(world, make, fields), [30, 30_000], Date);
    }
  }
  const fields = { 'Retry-After': 'Fri Nov  6 00:00:10 2026', Date: 'Friday, 06-Nov-26 00:00:00 GMT' };
  assert.deepEqual(await firstPause(world, make, fields), [10, 10_000]);
});

scenario('a year of two digits is at most 50 years ahead', async (world, make) => {
  const past = { 'Retry-After': 'Sunday, 06-Nov-94 08:49:37 GMT', Date: answerDate };
  assert.deepEqual(await firstPause(world, make, past), [0, 500]);
});

scenario('what is neither seconds nor a date is as if it were absent', async (world, make) => {
  for (const text of [
    '-5', '1.5', '10, 10', '10,10', '+5', '0x10', '1e3', 'soon', '5s', '5 5', '2026-10-21T07:28:30Z', '٣',
    'Wed, 21 Oct 2026 07:28:30', 'Wed, 21 Oct 2026 07:28:30 +0000', 'Wed, 31 Feb 2026 07:28:30 GMT',
    'Wed, 21 Oct 2026 25:28:30 GMT', 'Wed, 21 Oct 2026 07:60:30 GMT', 'Wed, 21 Oct 2026 07:28:61 GMT',
    'Wed, 21 Oct 2026 24:00:00 GMT', 'wed, 21 oct 2026 07:28:30 gmt', 'Wed, 1 Oct 2026 07:28:30 GMT',
    'Wed, 21 Oct 2026 07:28:30 GMT, Wed, 21 Oct 2026 07:28:30 GMT', '21 Oct 2026', 'Oct 21', 'Infinity', '',
  ]) {
    const bytes = Buffer.from(text).toString('latin1');
    assert.deepEqual(await firstPause(world, make, { 'Retry-After': bytes, Date: answerDate }), [null, 500], text);
  }
});

scenario('a date without the answer’s own says nothing', async (world, make) => {
  for (const Date of [undefined, 'today', '2026-10-21T07:28:00Z']) {
    const fields = { 'Retry-After': 'Wed, 21 Oct 2026 07:28:30 GMT', ...(Date && { Date }) };
    assert.deepEqual(await firstPause(world, make, fields), [null, 500]);
  }
});

scenario('pauses grow, whatever Retry-After says', async (world, make) => {
  for (const text of ['0', '1', 'Wed, 21 Oct 2026 07:00:00 GMT', '-5', undefined]) {
    const fields = { Date: answerDate, ...(text && { 'Retry-After': text }) };
    const { server, checkoutToken } = make([problem(503, 'vendor_unavailable', fields)]);
    const error = await world.error(checkoutToken.get());
    assert.equal(error.code, 'vendor_unavailable');
    const first = text === '1' ? 1_000 : 500;
    assert.deepEqual(server.pauses, [first, 1_000, 2_000, 4_000, 8_000], text);
  }
});

scenario('pauses are random upwards', async (world, make) => {
  world.random = 0.999;
  const { server, checkoutToken } = make([
    problem(503, 'vendor_busy', { 'Retry-After': '0' }), problem(503, 'vendor_busy', { 'Retry-After': '5' }), good(1),
  ]);
  await world.value(checkoutToken.get());
  assert.deepEqual(server.pauses.map((pause) => Math.round(pause)), [750, 5_500]);
});

scenario('a Retry-After beyond what is left is told at once', async (world, make) => {
  for (const text of ['20', '3600', '9'.repeat(400)]) {
    const { server, checkoutToken } = make([problem(429, 'too_many_requests', { 'Retry-After': text })]);
    const before = world.steady;
    const error = await world.error(checkoutToken.get());
    assert.equal(error.code, 'too_many_requests');
    assert.equal(error.retryAfter, Math.min(Number(text), Number.MAX_SAFE_INTEGER));
    assert.equal(world.steady, before);
    assert.equal(server.count, 1);
  }
});

scenario('each pause is told before it begins', async (world, make) => {
  const told = [];
  const { checkoutToken } = make([problem(503, 'access_unavailable', { 'Retry-After': '2' }), good(1)], {
    onWait: ({ seconds, error }) => told.push([seconds, error.code, error.status]),
  });
  await world.value(checkoutToken.get());
  assert.deepEqual(told, [[2, 'access_unavailable', 503]]);
});

scenario('for ever is bounded: pauses grow to half a minute and timers do not overflow', async (world, make) => {
  const { server, checkoutToken } = make([broken], { maxWait: Infinity, timeout: Infinity });
  checkoutToken.get().catch(() => {});
  await world.pass(24 * hour);
  assert.equal(server.pauses.at(-1), 30_000);
  assert.ok(server.count > 2_000 && server.count < 3_000, `${server.count}`);
  // More than 1,024 doublings exceed the range of a number.
  assert.deepEqual(server.pauses.slice(0, 7), [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000]);
});

scenario('a server may take as long as it wants if there is no limit', async (world, make) => {
  for (const limits of [{ timeout: Infinity, maxWait: Infinity }, { timeout: 2 ** 31, maxWait: Number.MAX_VALUE }]) {
    const slow = () => new Promise((resolve) => { setTimeout(() => resolve(good(1)()), hour); });
    const { server, checkoutToken } = make([slow], limits);
    assert.equal(await world.value(checkoutToken.get()), 'token-1');
    assert.equal(server.count, 1);
  }
});

// MARK: Frozen pages

scenario('after a pause in which the page was frozen too long, the last real error is thrown', async (world, make) => {
  const { server, checkoutToken } = make([problem(503, 'vendor_busy', { 'Retry-After': '2' }), silence]);
  const token = checkoutToken.get();
  await world.pass(1_000);
  world.freeze(hour);
  const error = await world.error(token);
  assert.equal(error.code, 'vendor_busy');
  assert.equal(server.count, 1);
});

scenario('after a pause in which the page was frozen for a while, a request gets its whole timeout', async (world, make) => {
  const slow = (answer) => () => new Promise((resolve) => { setTimeout(() => resolve(answer()), 9_000); });
  const { server, checkoutToken } = make([problem(503, 'vendor_busy', { 'Retry-After': '2' }), slow(good(1))]);
  const token = checkoutToken.get();
  await world.pass(1_000);
  world.freeze(18_900);
  assert.equal(await world.value(token), 'token-1');
  assert.equal(server.count, 2);
});

scenario('the machine’s sleep in a pause is no reason to give up', async (world, make) => {
  const { checkoutToken } = make([problem(503, 'vendor_busy', { 'Retry-After': '2' }), good(1)]);
  const token = checkoutToken.get();
  await world.pass(1_000);
  world.sleep(8 * hour);
  assert.equal(await world.value(token), 'token-1');
});

scenario('an answer that came while the page was frozen is read', async (world, make) => {
  const arrived = { resolve: null };
  const { server, checkoutToken } = make([() => new Promise((resolve) => { arrived.resolve = resolve; })]);
  const token = checkoutToken.get();
  await world.pass(1_000);
  world.freeze(hour);
  // The timer that is long overdue runs first.
  await world.pass(0);
  arrived.resolve(good(1)());
  assert.equal(await world.value(token), 'token-1');
  assert.equal(server.count, 1);
});

scenario('a request that hangs after the page was frozen ends with one more timeout', async (world, make) => {
  const { checkoutToken } = make([silence]);
  const token = checkoutToken.get();
  await world.pass(1_000);
  world.freeze(hour);
  const before = world.steady;
  assert.equal((await world.error(token)).code, 'timeout');
  assert.equal(world.steady - before, 10_000);
});

// MARK: Time limits

scenario('a server that does not answer is given up on', async (world, make) => {
  for (const answer of [silence, deaf]) {
    const { server, checkoutToken } = make([answer]);
    const before = world.steady;
    const error = await world.error(checkoutToken.get());
    assert.equal(error.code, 'timeout');
    assert.equal(error.status, null);
    assert.equal(error.cause.name, 'TimeoutError');
    assert.equal(server.count, 2);
    assert.ok(world.steady - before <= 30_000);
    assert.ok(server.request.signal.aborted);
  }
});

scenario('a body that never ends is given up on', async (world, make) => {
  const { checkoutToken } = make([() => new Response(new ReadableStream({}), { status: 200 })], { maxWait: 5_000 });
  assert.equal((await world.error(checkoutToken.get())).code, 'timeout');
  assert.equal(world.timers.length, 0);
});

scenario('a maxWait below the timeout ends the first request', async (world, make) => {
  const { server, checkoutToken } = make([silence], { maxWait: 1_000 });
  const before = world.steady;
  assert.equal((await world.error(checkoutToken.get())).code, 'timeout');
  assert.equal(world.steady - before, 1_000);
  assert.equal(server.count, 1);
});

scenario('headers() that never settles is given up on and does not block later calls', async (world, make) => {
  let isStuck = true;
  const { server, checkoutToken } = make([good(1)], {
    headers: () => (isStuck ? new Promise(() => {}) : { Authorization: 'x' }),
  });
  const before = world.steady;
  const error = await world.error(checkoutToken.get());
  assert.equal(error.code, 'timeout');
  assert.equal(error.cause.name, 'TimeoutError');
  assert.ok(world.steady - before <= 30_000);
  assert.equal(server.count, 0);
  isStuck = false;
  assert.equal(await checkoutToken.get(), 'token-1');
});

scenario('headers() that settle too late send nothing', async (world, make) => {
  const late = { resolve: null };
  const { server, checkoutToken } = make([good(1)], {
    maxWait: 1_000, headers: () => new Promise((resolve) => { late.resolve = resolve; }),
  });
  assert.equal((await world.error(checkoutToken.get())).code, 'timeout');
  late.resolve({});
  await world.pass(0);
  assert.equal(server.count, 0);
});

scenario('a call leaves no timer and no listener behind', async (world, make) => {
  const controller = new AbortController();
  let listeners = 0;
  const { signal } = controller;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...all) => { listeners += 1; add(...all); };
  signal.removeEventListener = (...all) => { listeners -= 1; remove(...all); };
  const { checkoutToken } = make([problem(503, 'vendor_busy'), good(1)], { signal });
  await world.value(checkoutToken.get({ signal }));
  await world.pass(0);
  assert.equal(world.timers.length, 0);
  assert.equal(listeners, 0);
});

// MARK: Options

scenario('what is wrong with the options is told by each call, at once', async (world, make) => {
  const wrong = [
    { timeout: NaN }, { timeout: -1 }, { timeout: 0 }, { timeout: '5000' }, { timeout: null }, { timeout: -Infinity },
    { maxWait: NaN }, { maxWait: -1 }, { maxWait: 0 }, { maxWait: {} },
    { customerId: undefined }, { customerId: '' }, { customerId: 7 }, { invoiceId: 10n }, { invoiceId: Symbol('i') },
    { customerId: { toJSON() { throw new Error('no'); } } }, { invoiceId: null },
    { endpoint: 'http://' }, { endpoint: 'https://user:secret@broker.example/' }, { endpoint: 'https://user@broker.example/' },
    { endpoint: 'ftp://broker.example/' }, { endpoint: 'javascript:alert(1)' }, { endpoint: 'data:application/json,{}' },
    { endpoint: 'http://broker.example:99999/' }, { endpoint: { toString() { throw new Error('no'); } } },
    { headers: { 'bad name': 'x' } }, { headers: { name: 'line\nbreak' } }, { headers: { name: 'snow ☃' } },
    { headers: null }, { headers: 5 }, { headers: () => ({ 'bad name': 'x' }) }, { credentials: 'sometimes' },
    { onWait: 'wait' }, { fetch: 'fetch' }, { signal: 'stop' }, { signal: null }, { signal: {} },
  ];
  for (const options of wrong) {
    const { server, checkoutToken } = make([good(1)], options);
    const before = world.steady;
    for (const call of [checkoutToken.get, checkoutToken, checkoutToken.refused, checkoutToken.forClient]) {
      const error = await world.error(call());
      assert.equal(error.code, 'invalid_options', Object.keys(options)[0]);
      assert.ok(error.cause instanceof Error);
    }
    assert.equal(server.count, 0);
    assert.equal(world.steady, before);
  }
  const getter = Object.defineProperty({}, 'customerId', { get() { throw new Error('no'); } });
  for (const options of [undefined, null, 5, {}, getter]) {
    assert.equal((await world.error(createCheckoutToken(options).get())).code, 'invalid_options');
  }
});

scenario('a path is refused where there is no page to resolve it', async (world) => {
  const error = await world.error(createCheckoutToken({ customerId: 'c', invoiceId: 'i' }).get());
  assert.equal(error.code, 'invalid_options');
  assert.equal(error.cause.name, 'TypeError');
});

scenario('an address may be a URL, and numbers may be large', async (world, make) => {
  const { checkoutToken } = make([good(1)], {
    endpoint: new URL('https://broker.example/x'), timeout: Number.MAX_VALUE, maxWait: 2 ** 31,
  });
  assert.equal(await checkoutToken.get(), 'token-1');
});

scenario('functions of the page that fail are told with what they threw', async (world, make) => {
  const failure = new Error('the session store is down');
  for (const headers of [() => { throw failure; }, async () => { throw failure; }]) {
    const { server, checkoutToken } = make([good(1)], { headers });
    const error = await world.error(checkoutToken.get());
    assert.equal(error.code, 'callback_failed');
    assert.equal(error.cause, failure);
    assert.equal(server.count, 0);
  }
  for (const onWait of [() => { throw failure; }, async () => { throw failure; }]) {
    const { server, checkoutToken } = make([problem(503, 'vendor_busy'), good(1)], { onWait });
    const error = await world.error(checkoutToken.get());
    assert.equal(error.code, 'callback_failed');
    assert.equal(error.cause, failure);
    assert.equal(server.count, 1);
    assert.equal(await world.value(checkoutToken.get()), 'token-1');
  }
  const { checkoutToken } = make([problem(503, 'vendor_busy'), good(1)], { onWait: () => new Promise(() => {}) });
  assert.equal(await world.value(checkoutToken.get()), 'token-1');
});

scenario('whatever fetch throws is told as a cause', async (world, make) => {
  for (const thrown of [new TypeError('Failed to fetch'), 'text', undefined, null, new DOMException('x', 'AbortError')]) {
    const { server, checkoutToken } = make([() => { throw thrown; }, () => { throw thrown; }, good(1)]);
    const causes = [];
    const error = await world.error(createCheckoutToken({
      customerId: 'c', invoiceId: 'i', maxWait: 400, fetch: () => { throw thrown; },
    }).get());
    causes.push(error.cause);
    assert.equal(error.code, 'network');
    assert.deepEqual(causes, [thrown]);
    assert.equal(await world.value(checkoutToken.get()), 'token-1');
    assert.equal(server.count, 3);
  }
});

scenario('a fetch that resolves to nothing useful is told as well', async (world, make) => {
  for (const nothing of [undefined, null, {}, { status: 200, ok: true }]) {
    const { checkoutToken } = make([() => nothing], { maxWait: 400 });
    assert.equal((await world.error(checkoutToken.get())).code, 'network');
  }
});

scenario('AbortSignal.timeout and AbortSignal.any are not needed', async (world, make) => {
  const { timeout, any } = AbortSignal;
  try {
    AbortSignal.timeout = undefined;
    AbortSignal.any = undefined;
    const { checkoutToken } = make([silence, good(1)], { signal: new AbortController().signal, maxWait: 30_000 });
    assert.equal(await world.value(checkoutToken.get()), 'token-1');
  } finally {
    AbortSignal.timeout = timeout;
    if (any) AbortSignal.any = any;
  }
});

// MARK: Aborting

scenario('an aborted signal ends the request, the pause and all later calls', async (world, make) => {
  const reason = new Error('left the page');
  for (const answers of [[silence], [deaf], [problem(503, 'vendor_busy', { 'Retry-After': '5' })]]) {
    const controller = new AbortController();
    const { server, checkoutToken } = make(answers, { signal: controller.signal });
    const token = checkoutToken.get();
    await world.pass(1_000);
    controller.abort(reason);
    const before = world.steady;
    const error = await world.error(token);
    assert.equal(error.code, 'aborted');
    assert.equal(error.cause, reason);
    assert.equal(world.steady, before);
    assert.equal((await world.error(checkoutToken())).code, 'aborted');
    assert.equal(server.count, 1);
    assert.equal(world.timers.length, 0);
    if (answers[0] === silence) assert.ok(server.request.signal.aborted);
  }
  const controller = new AbortController();
  const { server, checkoutToken } = make([good(1)], { signal: controller.signal });
  await checkoutToken.get();
  controller.abort();
  assert.equal((await world.error(checkoutToken.get())).cause.name, 'AbortError');
  assert.equal(server.count, 1);
});

scenario('the signal of a call ends only its own wait', async (world, make) => {
  const arrived = { resolve: null };
  const { server, checkoutToken } = make([() => new Promise((resolve) => { arrived.resolve = resolve; })]);
  const controller = new AbortController();
  const impatient = checkoutToken.get({ signal: controller.signal });
  const patient = checkoutToken.get();
  await world.pass(0);
  controller.abort();
  assert.equal((await world.error(impatient)).code, 'aborted');
  arrived.resolve(good(1)());
  assert.equal(await world.value(patient), 'token-1');
  assert.equal((await world.error(checkoutToken.get({ signal: controller.signal }))).code, 'aborted');
  assert.equal(server.count, 1);
});

scenario('a call that is aborted before it begins, or is asked wrongly, sends nothing', async (world, make) => {
  const { server, checkoutToken } = make([broken]);
  const controller = new AbortController();
  controller.abort();
  assert.equal((await world.error(checkoutToken.get({ signal: controller.signal }))).code, 'aborted');
  for (const signal of [5, 'x', {}]) {
    assert.equal((await world.error(checkoutToken.get({ signal }))).code, 'invalid_options');
  }
  assert.equal(server.count, 0);
});

scenario('a reason that old Safari does not give is made up for', async (world, make) => {
  const controller = new AbortController();
  Object.defineProperty(controller.signal, 'reason', { value: undefined });
  const { checkoutToken } = make([silence], { signal: controller.signal });
  const token = checkoutToken.get();
  await world.pass(0);
  controller.abort();
  assert.equal((await world.error(token)).cause.name, 'AbortError');
});

// MARK: Responses

const codes = {
  invalid_request: 400, forbidden: 403, method_not_allowed: 405, too_slow: 408, too_large: 413, unsupported_media_type: 415,
  session_rejected: 422, too_many_requests: 429, misconfigured: 500, vendor_busy: 503, vendor_unavailable: 503,
  access_unavailable: 503,
};

scenario('the broker’s codes come through, and those that may pass are tried again', async (world, make) => {
  for (const [code, status] of Object.entries(codes)) {
    const { server, checkoutToken } = make([problem(status, code)], { maxWait: 600 });
    const error = await world.error(checkoutToken.get());
    assert.deepEqual([error.code, error.brokerCode, error.status, error.incident], [code, code, status, 'i1']);
    assert.equal(error.message, `title of ${code}`);
    assert.equal(error.cause, undefined);
    assert.equal(server.count, [408, 429, 503].includes(status) ? 2 : 1, code);
  }
});

scenario('words that are not the broker’s count for nothing', async (world, make) => {
  const body = { code: 'forbidden', title: 'buy now', incident: 'x', error: 'x' };
  for (const [answer, why] of [
    [json(body, { status: 403 }), 'another type'],
    [json(body, { status: 403, type: 'text/html' }), 'a page'],
    [json(body, { status: 403, type: 'application/problem+jsonx' }), 'a similar type'],
    [json(body, { status: 418, type: 'application/problem+json' }), 'another status'],
    [json({ ...body, code: 'teapot' }, { status: 403, type: 'application/problem+json' }), 'an unknown code'],
    [json({ ...body, code: 'toString' }, { status: 403, type: 'application/problem+json' }), 'an inherited name'],
    [json({ ...body, code: 'vendor_busy' }, { status: 403, type: 'application/problem+json' }), 'a code of another status'],
    [json({ ...body, code: 'sign_in' }, { status: 403, type: 'application/problem+json' }), 'a code of this module'],
    [json([], { status: 403, type: 'application/problem+json' }), 'an array'],
    [json(null, { status: 403, type: 'application/problem+json' }), 'null'],
    [() => new Response('<html>', { status: 403, headers: { 'Content-Type': 'text/html' } }), 'a block page'],
    [() => new Response(null, { status: 403 }), 'nothing'],
  ]) {
    const { checkoutToken } = make([answer]);
    const error = await world.error(checkoutToken.get());
    assert.deepEqual([error.code, error.brokerCode, error.incident], ['http_error', null, null], why);
    assert.equal(error.message, 'The server did not return a token.', why);
  }
  const parameters = problem(403, 'forbidden', { 'Content-Type': 'Application/Problem+JSON; charset=utf-8' });
  assert.equal((await world.error(make([parameters]).checkoutToken.get())).code, 'forbidden');
});

scenario('answers of proxies that may pass are tried again, others are not', async (world, make) => {
  const counts = {};
  const all = [400, 402, 403, 404, 408, 410, 421, 425, 429, 451, 500, 501, 502, 503, 504, 505, 507, 511, 519, 520, 521, 522,
    523, 524, 525, 526, 527, 530];
  for (const status of all) {
    const { server, checkoutToken } = make([() => new Response('x', { status })], { maxWait: 600 });
    assert.equal((await world.error(checkoutToken.get())).code, 'http_error');
    counts[status] = server.count;
  }
  const tried = all.filter((status) => counts[status] === 2);
  assert.deepEqual(tried, [408, 425, 429, 502, 503, 504, 520, 521, 522, 523, 524]);
});

scenario('what wants a sign-in says so and is not tried again', async (world, make) => {
  const opaque = Object.create(Response.prototype, {
    type: { value: 'opaqueredirect' }, status: { value: 0 }, ok: { value: false }, headers: { value: new Headers() },
    text: { value: async () => '' },
  });
  const html = { headers: { 'Content-Type': 'text/html; charset=utf-8' } };
  for (const [answer, status, brokerCode] of [
    [problem(401, 'unauthenticated'), 401, 'unauthenticated'],
    [json({ code: 'login_required' }, { status: 401 }), 401, null],
    [() => new Response(null, { status: 401 }), 401, null],
    [() => new Response('<html>', { status: 401, ...html }), 401, null],
    [() => opaque, null, null],
    [() => new Response(null, { status: 302, headers: { Location: '/login' } }), 302, null],
    [() => new Response(null, { status: 307, headers: { Location: '/login' } }), 307, null],
    [() => new Response('<!doctype html><form>', html), 200, null],
  ]) {
    const { server, checkoutToken } = make([answer]);
    const error = await world.error(checkoutToken.get());
    assert.deepEqual([error.code, error.status, error.brokerCode], ['sign_in', status, brokerCode]);
    assert.equal(server.count, 1);
  }
});

scenario('a success that is not a whole token is no answer', async (world, make) => {
  for (const wrong of [
    { expiresAt: null }, { expiresAt: 1_790_000_000 }, { expiresAt: 'garbage 1' }, { expiresAt: '' }, { expiresAt: '2026' },
    { expiresAt: '2026-10-21' }, { expiresAt: '2026-10-21T07:43:00' }, { expiresAt: '2026-02-30T07:43:00Z' },
    { expiresAt: '2026-10-21T24:43:00Z' }, { expiresAt: 'Wed, 21 Oct 2026 07:28:00 GMT' }, { expiresAt: undefined },
    { expiresAt: ['2026-10-21T07:43:00Z'] }, { expiresAt: '2026-13-21T07:43:00Z' },
    { expiresIn: null }, { expiresIn: '900' }, { expiresIn: -1 }, { expiresIn: 1.5 }, { expiresIn: 1e300 }, { expiresIn: undefined },
    { expiresIn: true }, { token: '' }, { token: null }, { token: 5 }, { token: undefined }, { tokenId: '' }, { tokenId: null },
    { tokenId: 7 },
  ]) {
    const { server, checkoutToken } = make([good(1, wrong)]);
    const error = await world.error(checkoutToken.get());
    assert.deepEqual([error.code, error.status], ['invalid_answer', 200], JSON.stringify(wrong));
    assert.equal(server.count, 1);
    assert.equal(checkoutToken.current, null);
  }
  for (const text of ['', 'null', '[]', '"token"', '{', '7', '<xml/>']) {
    const { checkoutToken } = make([() => new Response(text)]);
    assert.equal((await world.error(checkoutToken.get())).code, 'invalid_answer', text);
  }
  assert.equal((await world.error(make([() => new Response(null, { status: 204 })]).checkoutToken.get())).code, 'invalid_answer');
});

scenario('every form of RFC 3339 is an expiry', async (world, make) => {
  for (const [text, expected] of [
    ['2026-10-21T07:43:00Z', '2026-10-21T07:43:00.000Z'], ['2026-10-21t07:43:00z', '2026-10-21T07:43:00.000Z'],
    ['2026-10-21T09:43:00.25+02:00', '2026-10-21T07:43:00.250Z'], ['2026-10-21T02:13:00.123456789-05:30', '2026-10-21T07:43:00.123Z'],
    ['2026-12-31T23:59:60Z', '2026-12-31T23:59:59.000Z'], ['2028-02-29T00:00:00Z', '2028-02-29T00:00:00.000Z'],
  ]) {
    const { checkoutToken } = make([good(1, { expiresAt: text })]);
    await checkoutToken.get();
    assert.equal(checkoutToken.current.expiresAt.toISOString(), expected, text);
  }
});

scenario('no token gets into an error', async (world, make) => {
  const { checkoutToken } = make([good('secret', { expiresAt: null })]);
  const error = await world.error(checkoutToken.get());
  assert.ok(error instanceof CheckoutTokenError && error instanceof Error);
  assert.ok(!`${error.stack}${JSON.stringify(error)}`.includes('token-secret'));
});
