#if CommandLineSupport
import Foundation
import TestSupport
import Testing
import TokenBroker

/// Tests of the page that `demo` serves, in a real browser.
@Suite(.serialized, .tags(.slow)) struct StorefrontTests {
    @Test func `the page renews its token on expiry without a reload`() async throws {
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

    @Test func `the page replaces a token that is refused before it expires`() async throws {
        try await withDemo(lifetime: "60s") { browser, address in
            try await browser.open(address)
            try await browser.wait(until: "document.querySelector('#pretend-refused').ariaDisabled === 'false'")
            let first = try await browser.run("return document.querySelector('#token-id').textContent")
            _ = try await browser.run("document.querySelector('#pretend-refused').click()")
            try await browser.wait(until: "document.querySelector('#token-replacements').textContent === '1'")
            try await browser.wait(until: "document.querySelector('#status').dataset.state === 'ready'")
            #expect(try await browser.run("return document.querySelector('#token-id').textContent") != first)
        }
    }

    /// A cookie that the page cannot read signs the visitor in. Another customer's invoice is refused.
    @Test func `the visitor is signed in by an HttpOnly cookie and refused another customer's invoice`() async throws {
        try await withDemo(lifetime: "60s") { browser, address in
            try await browser.open(address)
            try await browser.wait(until: "document.querySelector('#status').dataset.state === 'ready'")
            #expect(try await browser.run("return document.cookie") == "")
            #expect(
                try await browser.run("return document.querySelector('#visitor').textContent")
                    == "cus_demo (HttpOnly cookie)")
            _ = try await browser.run("document.querySelector('#try-other').click()")
            try await browser.wait(until: "document.querySelector('#answer').dataset.state === 'refused'")
            #expect(
                try await browser.run("return document.querySelector('#answer-verdict').textContent")
                    == "403 forbidden.")
            // The page stayed ready throughout.
            #expect(try await browser.run("return document.querySelector('#status').dataset.state") == "ready")
        }
    }

    @Test func `a button keeps the keyboard focus while it works and cannot be pressed twice`() async throws {
        try await withDemo(lifetime: "60s") { browser, address in
            try await browser.open(address)
            try await browser.wait(until: "document.querySelector('#status').dataset.state === 'ready'")
            // Responses are held back until the test releases them.
            _ = try await browser.run(
                """
                const real = window.fetch;
                window.calls = 0;
                window.fetch = async (...request) => {
                    window.calls += 1;
                    await new Promise(resume => { window.release = resume; });
                    return real(...request);
                };
                """
            )
            // Paying comes last: its button disappears, and the focus moves to the result.
            for (id, next) in [
                ("read-again", "read-again"), ("try-other", "try-other"), ("pretend-refused", "pretend-refused"),
                ("invoice-pay", "invoice-result"),
            ] {
                _ = try await browser.run("window.calls = 0; document.querySelector('#\(id)').focus();")
                for _ in 0..<2 { try await browser.press(Browser.enter) }
                let busy = try await browser.run(
                    """
                    const button = document.querySelector('#\(id)');
                    return [document.activeElement.id, button.ariaDisabled, button.disabled, window.calls];
                    """
                )
                #expect(busy == .array([.string(id), "true", .bool(false), .number(1)]))
                try await browser.wait(
                    until: "window.release(), document.querySelector('#\(id)')?.ariaDisabled !== 'true'")
                #expect(try await browser.run("return document.activeElement.id") == .string(next))
            }
            #expect(try await browser.run("return document.querySelector('#error').hidden") == .bool(true))
        }
    }

    @Test(arguments: [3_600_000, -3_600_000])
    func `a browser whose clock is an hour off renews on time and makes no extra reads`(
        offset: Int
    ) async throws {
        try await withDemo(lifetime: "3s") { browser, address in
            try await browser.prepareEachPage(
                with: """
                    const RealDate = Date;
                    window.Date = class extends RealDate {
                        constructor(...parts) { super(...(parts.length > 0 ? parts : [RealDate.now() + (\(offset))])); }
                        static now() { return RealDate.now() + (\(offset)); }
                    };
                    window.reads = 0;
                    const realFetch = window.fetch;
                    window.fetch = (...request) => {
                        if (String(request[0]).includes('/checkout/v1/invoice')) window.reads += 1;
                        return realFetch(...request);
                    };
                    """
            )
            try await browser.open(address)
            try await browser.wait(until: "Number(document.querySelector('#token-renewals').textContent) >= 3")
            // Each token allows one refused reading, one successful reading, and one more for rounding.
            let faults = try await browser.run(
                """
                const count = id => Number(document.querySelector(id).textContent);
                const renewals = count('#token-renewals');
                const isOff = Math.abs(Date.now() - performance.timeOrigin - performance.now() - (\(offset))) < 60000;
                const faults = [];
                if (!isOff) faults.push('the clock is right');
                if (window.reads > 1 + 3 * renewals) faults.push(`${window.reads} readings for ${renewals} renewals`);
                if (performance.now() < 2000 * renewals) faults.push(`${renewals} renewals in ${performance.now()} ms`);
                if (count('#token-replacements') > 0) faults.push('refused early');
                return faults;
                """
            )
            #expect(faults == .array([]))
        }
    }

    @Test func `two demos side by side keep their visitors' sessions apart`() async throws {
        try await withDemo(lifetime: "60s") { browser, first in
            let demo = try RunningProgram.tokenBroker(["demo", "--port", "0"])
            let second = "http://\(try await demo.authority(inLine: "Open http"))/"
            try await browser.open(first)
            try await browser.wait(until: "document.querySelector('#status').dataset.state === 'ready'")
            let window = try await browser.window()
            try await browser.switchTo(browser.openWindow())
            try await browser.open(second)
            try await browser.wait(until: "document.querySelector('#status').dataset.state === 'ready'")
            let ports = [first, second].map { $0.split(separator: ":")[2].prefix(while: \.isNumber) }
            #expect(try await browser.cookieNames() == ports.map { "demo_session_\($0)" }.sorted())
            try await browser.switchTo(window)
            _ = try await browser.run("document.querySelector('#pretend-refused').click()")
            try await browser.wait(until: "document.querySelector('#token-replacements').textContent === '1'")
            #expect(try await browser.run("return document.querySelector('#error').hidden") == .bool(true))
            #expect(await demo.terminate() == 0)
        }
    }

    @Test func `a visitor who is no longer signed in is asked to sign in`() async throws {
        try await withDemo(lifetime: "60s") { browser, address in
            try await browser.open(address)
            try await browser.wait(until: "document.querySelector('#status').dataset.state === 'ready'")
            try await browser.deleteCookies()
            _ = try await browser.run("document.querySelector('#pretend-refused').click()")
            try await browser.wait(until: "!document.querySelector('#error').hidden")
            #expect(try await browser.run("return document.querySelector('#error').dataset.code") == "sign_in")
            #expect(
                try await browser.run("return document.querySelector('#error-title').textContent")
                    == "You are not signed in")
            #expect(try await browser.run("return document.querySelector('#retry').textContent") == "Sign in")
            _ = try await browser.run("document.querySelector('#retry').click()")
            try await browser.wait(until: "document.querySelector('#status')?.dataset.state === 'ready'")
        }
    }

    @Test func `the page reports that access cannot be checked, and retries`() async throws {
        try await withDemo(lifetime: "60s") { browser, address in
            try await browser.prepareEachPage(
                with: """
                    const realFetch = window.fetch;
                    window.texts = [];
                    let isDown = true;
                    window.fetch = async (...request) => {
                        if (!isDown || !String(request[0]).includes('checkout-token')) return realFetch(...request);
                        isDown = false;
                        new MutationObserver(() => window.texts.push(document.querySelector('#status').textContent))
                            .observe(document.querySelector('#status'), { childList: true });
                        return new Response(JSON.stringify({ code: 'access_unavailable', title: 'x', status: 503 }), {
                            status: 503, headers: { 'Content-Type': 'application/problem+json', 'Retry-After': '1' },
                        });
                    };
                    """
            )
            try await browser.open(address)
            try await browser.wait(until: "document.querySelector('#status').dataset.state === 'ready'")
            #expect(
                try await browser.run("return window.texts[0]")
                    == "The shop cannot check your sign-in right now. Trying again in 2 s.")
        }
    }
}
#endif
