#if CommandLineSupport
import Foundation
import TestSupport
import Testing
import TokenBroker

/// The page that `demo` serves, in a real browser.
@Suite(.serialized) struct StorefrontTests {
    private func withDemo(
        lifetime: String, _ body: (Browser, _ address: String) async throws -> Void
    ) async throws {
        let demo = try RunningProgram.tokenBroker(["demo", "--port", "0", "--checkout-token-lifetime", lifetime])
        let address = "http://\(try await demo.authority(inLine: "Open http"))/"
        let browser = try await Browser.start()
        do {
            try await body(browser, address)
        } catch {
            await browser.stop()
            await demo.terminate()
            throw error
        }
        await browser.stop()
        #expect(await demo.terminate() == 0)
    }

    @Test func thePageGoesOnWithoutAReloadWhenItsTokenExpires() async throws {
        try await withDemo(lifetime: "3s") { browser, address in
            try await browser.open(address)
            _ = try await browser.run("window.marker = 'still the same page'")
            try await browser.wait(until: "document.querySelector('#status').dataset.state === 'ready'")
            try await browser.wait(until: "document.querySelector('#invoice-number')?.innerText.startsWith('Invoice ')")
            #expect(
                try await browser.run("return document.querySelector('[data-claim=customer_id]').textContent")
                    == "cus_demo")
            #expect(
                try await browser.run("return document.querySelector('[data-claim=invoice_id]').textContent")
                    == "inv_1001")
            let firstToken = try await browser.run("return document.querySelector('#token-id').textContent")
            try await browser.wait(until: "Number(document.querySelector('#token-renewals').textContent) >= 2")
            try await browser.wait(until: "document.querySelector('#status').dataset.state === 'ready'")
            try await browser.wait(
                until: "[...document.querySelectorAll('[data-step]')].every(step => step.dataset.state === 'done')"
            )
            #expect(try await browser.run("return window.marker") == "still the same page")
            #expect(try await browser.run("return document.querySelector('#token-id').textContent") != firstToken)
            #expect(try await browser.run("return document.querySelector('#error').hidden") == .bool(true))
        }
    }

    @Test func aTokenThatIsRefusedEarlyIsReplaced() async throws {
        try await withDemo(lifetime: "60s") { browser, address in
            try await browser.open(address)
            try await browser.wait(until: "!document.querySelector('#pretend-refused').disabled")
            let first = try await browser.run("return document.querySelector('#token-id').textContent")
            _ = try await browser.run("document.querySelector('#pretend-refused').click()")
            try await browser.wait(until: "document.querySelector('#token-replacements').textContent === '1'")
            try await browser.wait(until: "document.querySelector('#status').dataset.state === 'ready'")
            #expect(try await browser.run("return document.querySelector('#token-id').textContent") != first)
        }
    }

    @Test func anInvoiceOfSomebodyElseIsRefusedInPlainWords() async throws {
        try await withDemo(lifetime: "60s") { browser, address in
            try await browser.open("\(address)?customer=cus_other&invoice=oth_2001")
            try await browser.wait(until: "!document.querySelector('#error').hidden")
            #expect(try await browser.run("return document.querySelector('#error').dataset.code") == "forbidden")
        }
    }

    /// The visitor is signed in by a cookie that the page cannot read, and tries for another's invoice in vain.
    @Test func theVisitorIsSignedInAndTriesForAnothersInvoice() async throws {
        try await withDemo(lifetime: "60s") { browser, address in
            try await browser.open(address)
            try await browser.wait(until: "document.querySelector('#status').dataset.state === 'ready'")
            #expect(try await browser.run("return document.cookie") == "")
            #expect(try await browser.run("return document.querySelector('#visitor').textContent") == "cus_demo")
            _ = try await browser.run("document.querySelector('#try-other').click()")
            try await browser.wait(until: "document.querySelector('#other-answer').dataset.state === 'refused'")
            #expect(
                try await browser.run("return document.querySelector('#other-status').textContent") == "403 forbidden")
            // The page went on all the while.
            #expect(try await browser.run("return document.querySelector('#status').dataset.state") == "ready")
        }
    }

    /// `checkout-token.js` with a `fetch` that the test makes.
    @Test func theModuleKeepsItsPromises() async throws {
        try await withDemo(lifetime: "60s") { browser, address in
            try await browser.open(address)
            let prelude = """
                const { createCheckoutToken, CheckoutTokenError } = await import('/checkout-token.js');
                const sent = [];
                let number = 0;
                const good = life => { const expiresIn = typeof life === 'number' ? life : 60; return new Response(JSON.stringify({
                    token: `t${++number}`, tokenId: `id${number}`, expiresIn,
                    expiresAt: new Date(Date.now() + expiresIn * 1000).toISOString(), environment: 'sandbox' })); };
                const bad = (status, code, fields = {}) => new Response(
                    JSON.stringify({ code, title: code, incident: 'i1' }), { status, headers: fields });
                const make = (answers, more = {}) => createCheckoutToken({ customerId: 'c', invoiceId: 'i', ...more,
                    fetch: async (url, request) => { sent.push(JSON.parse(request.body)); return answers.shift()(request); } });
                const failure = async call => { try { await call(); return 'none'; } catch (error) {
                    return [error instanceof CheckoutTokenError, error.code, error.status, error.incident]; } };

                """
            // One request for many callers, another for the next.
            #expect(
                try await browser.run(
                    prelude + "const get = make([good, good]); const all = await Promise.all([get(), get(), get()]);"
                        + "return [all, await get(), sent.length]"
                ) == .array([.array(["t1", "t1", "t1"]), "t2", .number(2)])
            )
            // A token that had life left is replaced, one that had none is not.
            #expect(
                try await browser.run(
                    prelude
                        + "const get = make([() => good(60), () => good(0), good]); await get(); await get(); await get();"
                        + "return sent.map(body => body.replaces ?? null)"
                ) == .array([.null, "id1", .null])
            )
            // Retry-After is honoured.
            #expect(
                try await browser.run(
                    prelude + "const start = performance.now(); let waited;"
                        + "const get = make([() => bad(503, 'vendor_busy', { 'Retry-After': '1' }), good], { onWait: pause => waited = pause.seconds });"
                        + "const token = await get(); return [token, performance.now() - start >= 1000, waited >= 1]"
                ) == .array(["t1", .bool(true), .bool(true)])
            )
            // What will not pass is not tried again; what takes too long is given up on.
            #expect(
                try await browser.run(
                    prelude
                        + "const get = make([() => bad(403, 'forbidden')]); return [await failure(get), sent.length]"
                ) == .array([.array([.bool(true), "forbidden", .number(403), "i1"]), .number(1)])
            )
            #expect(
                try await browser.run(
                    prelude
                        + "const get = make([() => bad(429, 'too_many_requests', { 'Retry-After': '3600' })]); return (await failure(get))[1]"
                ) == "too_many_requests"
            )
            #expect(
                try await browser.run(
                    prelude
                        + "const hang = request => new Promise((_, reject) => request.signal.addEventListener('abort', () => reject(request.signal.reason)));"
                        + "const get = make([hang, hang, hang], { timeout: 100, maxWait: 300 }); return (await failure(get))[1]"
                ) == "timeout"
            )
            #expect(
                try await browser.run(
                    prelude + "const get = make([() => new Response('<html>')]); return (await failure(get))[1]")
                    == "invalid_answer"
            )
        }
    }
}
#endif
