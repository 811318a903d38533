#if CommandLineSupport
import Foundation
import TestSupport
import Testing
import TokenBroker

/// Tests of the page's two halves: what the payer sees and what the developer sees.
@Suite(.serialized, .tags(.slow)) struct HalvesTests {
    private static let tab = "\u{e004}"
    private static let isReady = "document.querySelector('#status')?.dataset.state === 'ready'"

    private static let isPaid = """
        document.querySelector('#invoice-status')?.textContent === 'Paid'
            && document.querySelector('#invoice-pay') === null
            && document.querySelector('#invoice-result').checkVisibility()
        """

    private func resize(_ browser: Browser, width: Int) async throws {
        try await browser.devTools(
            "Emulation.setDeviceMetricsOverride",
            [
                "width": .number(Double(width)), "height": .number(900), "deviceScaleFactor": .number(1),
                "mobile": .bool(false),
            ]
        )
    }

    /// Returns the role and name of every node of the accessibility tree, in order.
    private func accessibleNodes(_ browser: Browser) async throws -> [String] {
        let tree = try await browser.devTools("Accessibility.getFullAXTree")
        guard case .array(let nodes) = tree["nodes"] else { throw ToolError(description: "no tree: \(tree)") }
        return nodes.compactMap { node in
            guard node["ignored"] != .bool(true), let role = node["role"]?["value"]?.string else { return nil }
            return "\(role.unicode) \(node["name"]?["value"]?.string?.unicode ?? "")"
        }
    }

    @Test func `the demo's landmarks, headings, tables, buttons and progress bar have accessible names`() async throws {
        try await withDemo { browser, address in
            try await browser.open(address)
            try await browser.wait(until: Self.isReady)
            let nodes = try await accessibleNodes(browser)
            #expect(
                nodes.filter { $0.hasPrefix("region ") }
                    == ["region What the payer sees", "region What the developer sees"])
            for landmark in ["banner ", "main ", "contentinfo "] { #expect(nodes.filter { $0 == landmark }.count == 1) }
            for node in [
                "heading What the payer sees", "heading What the developer sees", "table What the invoice is for",
                "table What the token says", "list The vendor’s eight steps", "progressbar Remaining token lifetime",
                "button Read the invoice again", "button Refuse the token", "button Ask for cus_other’s token",
                "columnheader Description", "rowheader Total", "rowheader exp",
            ] {
                #expect(nodes.contains(node), "\(node)")
            }
            #expect(nodes.contains { $0.hasPrefix("button Pay $") })
            let faults = try await browser.run(
                """
                const levels = [...document.querySelectorAll('h1, h2, h3, h4')].filter(one => one.checkVisibility())
                    .map(heading => Number(heading.tagName[1]));
                const faults = levels.filter((level, index) => level > (levels[index - 1] ?? 0) + 1);
                if (levels.filter(level => level === 1).length !== 1) faults.push('not one title');
                return faults;
                """
            )
            #expect(faults == .array([]))
        }
    }

    @Test func `the payer sees the seller, items, amount and due date, and nothing about tokens`() async throws {
        try await withDemo { browser, address in
            try await browser.open(address)
            try await browser.wait(until: Self.isReady)
            let faults = try await browser.run(
                """
                const payer = document.querySelector('#payer').innerText;
                const developer = document.querySelector('#developer').innerText;
                const faults = [];
                for (const text of ['Pay to', 'Harbour Cycles', 'Invoice INV-1001', 'Bicycle service and parts', 'Open',
                    'Demo Customer', 'Due', 'Subtotal', 'Tax', 'no money moves']) {
                    if (!payer.includes(text)) faults.push(`the payer misses ${text}`);
                }
                for (const text of [/token/i, /partner_id/, /cus_/, /[0-9a-f]{16}/, /renew/i, /broker/i, /http/i]) {
                    if (text.test(payer)) faults.push(`the payer sees ${text}`);
                }
                for (const text of ['partner_id', 'customer_id', 'invoice_id', 'cus_demo', 'Tokens renewed',
                    document.querySelector('#token-id').textContent]) {
                    if (!developer.includes(text)) faults.push(`the developer misses ${text}`);
                }
                const cents = cell => Math.round(Number(cell.textContent.replace(/[^0-9.]/g, '')) * 100);
                const column = part => [...document.querySelectorAll(`.lines ${part} td`)].map(cents);
                const [subtotal, tax, total] = column('tfoot');
                const lines = column('tbody');
                if (lines.length === 0 || lines.reduce((sum, line) => sum + line) !== subtotal) faults.push('subtotal');
                if (subtotal + tax !== total) faults.push('total');
                if (cents(document.querySelector('#invoice-pay')) !== total) faults.push('another amount to pay');
                if (new Date(document.querySelector('.dates div:last-child dd').textContent) < Date.now()) {
                    faults.push('overdue');
                }
                return faults;
                """
            )
            #expect(faults == .array([]))
        }
    }

    @Test func `an invoice paid with the keyboard alone is paid once and stays paid`() async throws {
        try await withDemo(lifetime: "3s") { browser, address in
            try await browser.open(address)
            try await browser.wait(until: Self.isReady)
            #expect(try await browser.run("return document.querySelector('#invoice-status').textContent") == "Open")

            for _ in 0..<3 { try await browser.press(Self.tab) }
            #expect(
                try await browser.run(
                    """
                    const focused = document.activeElement;
                    return [focused.id, getComputedStyle(focused).outlineStyle];
                    """
                ) == .array(["invoice-pay", "solid"])
            )
            try await browser.press(Browser.enter)
            try await browser.wait(until: Self.isPaid)
            #expect(try await browser.run("return document.activeElement.id") == "invoice-result")

            // The button does not come back with the next token, nor after a reload.
            _ = try await browser.run(
                "window.renewals = Number(document.querySelector('#token-renewals').textContent);")
            try await browser.wait(
                until: "Number(document.querySelector('#token-renewals').textContent) > window.renewals")
            try await browser.wait(until: "\(Self.isReady) && \(Self.isPaid)")
            try await browser.open(address)
            try await browser.wait(until: Self.isReady)
            #expect(try await browser.run("return \(Self.isPaid)") == .bool(true))
        }
    }

    /// The other window learns of the payment when its button is pressed, or when its token expires.
    @Test(arguments: ["60s", "3s"])
    func `an invoice paid in one window shows as paid in the other, which keeps its focus`(
        lifetime: String
    ) async throws {
        try await withDemo(lifetime: lifetime) { browser, address in
            try await browser.open(address)
            try await browser.wait(until: Self.isReady)
            _ = try await browser.run("document.querySelector('#invoice-pay').focus()")
            let other = try await browser.window()
            try await browser.switchTo(browser.openWindow())
            try await browser.open(address)
            try await browser.wait(until: Self.isReady)
            _ = try await browser.run("document.querySelector('#invoice-pay').click()")
            try await browser.wait(until: Self.isPaid)

            try await browser.switchTo(other)
            if lifetime == "60s" { try await browser.press(Browser.enter) }
            try await browser.wait(until: Self.isPaid)
            #expect(
                try await browser.run("return [document.activeElement.id, document.querySelector('#error').hidden]")
                    == .array(["invoice-result", .bool(true)]))
        }
    }

    @Test func `a renewal moves nothing, is not announced, and keeps claims and lifetimes in order`() async throws {
        try await withDemo(lifetime: "3s") { browser, address in
            try await browser.prepareEachPage(
                with: """
                    window.orders = new Set();
                    window.lives = [];
                    document.addEventListener('DOMContentLoaded', () => {
                        const watch = (selector, note) => new MutationObserver(note).observe(
                            document.querySelector(selector), { childList: true, characterData: true, subtree: true });
                        watch('#token-claims', () => window.orders.add(
                            [...document.querySelectorAll('#token-claims th')].map(one => one.textContent).join(' ')));
                        watch('.life', () => window.lives.push(document.querySelector('.life').innerText.trim()));
                    });
                    """
            )
            try await browser.open(address)
            try await browser.wait(until: Self.isReady)
            _ = try await browser.run(
                """
                window.shifts = 0;
                new PerformanceObserver(list => list.getEntries().forEach(one => { window.shifts += one.value; }))
                    .observe({ type: 'layout-shift' });
                window.readOut = [];
                for (const region of document.querySelectorAll('[role=status], [role=alert], [aria-live]')) {
                    new MutationObserver(() => window.readOut.push(region.textContent))
                        .observe(region, { childList: true, characterData: true, subtree: true });
                }
                """
            )
            try await browser.wait(until: "Number(document.querySelector('#token-renewals').textContent) >= 4")
            try await browser.wait(until: Self.isReady)
            #expect(
                try await browser.run("return [...window.orders]")
                    == .array(["partner_id client_id customer_id invoice_id exp"]))
            #expect(
                try await browser.run("return [window.readOut, window.shifts]") == .array([.array([]), .number(0)]))
            // Each token starts with its full lifetime, which is at most the vendor's, and the remaining time only
            // decreases.
            let faults = try await browser.run(
                """
                let last = 0;
                return window.lives.filter(text => {
                    const [, left, whole] = /^([0-9]+) s left of ([0-9]+) s$/.exec(text) ?? [];
                    const isRight = Number(left) < last || (left === whole && Number(whole) <= 3);
                    last = Number(left);
                    return !isRight;
                });
                """
            )
            #expect(faults == .array([]))
        }
    }

    @Test(arguments: ["?customer=cus_other&invoice=oth_2001", "?customer=cus_other", "?invoice=oth_2001"])
    func `ids in the page's address do not change the customer, and the refusal is final`(
        query: String
    ) async throws {
        try await withDemo { browser, address in
            try await browser.open(address + query)
            try await browser.wait(until: "!document.querySelector('#error').hidden")
            let faults = try await browser.run(
                """
                const text = id => document.querySelector(id).textContent;
                const faults = [];
                if (document.querySelector('#error').dataset.code !== 'forbidden') faults.push(text('#error'));
                if (document.querySelector('#retry').checkVisibility()) faults.push('offers another try');
                if (!text('#visitor').startsWith('cus_demo ')) faults.push(`signed in as ${text('#visitor')}`);
                if (text('#status') !== '403 forbidden. The vendor was not called.') faults.push(text('#status'));
                if (text('#vendor-calls') !== '0') faults.push('the vendor was called');
                if (/cus_|oth_|[$]|Open/.test(document.querySelector('#payer').innerText)) faults.push('a leak');
                for (const step of document.querySelectorAll('[data-step]')) {
                    if (step.querySelector('.state').textContent !== 'Not reached') faults.push(step.textContent);
                }
                return faults;
                """
            )
            #expect(faults == .array([]))
            _ = try await browser.run("document.querySelector('#switch').click()")
            try await browser.wait(until: Self.isReady)
            #expect(try await browser.run("return location.search") == "")
        }
    }

    @Test(arguments: [
        ("session_rejected", 422, [1], false), ("misconfigured", 500, [1], false), ("forbidden", 403, [], false),
        ("method_not_allowed", 405, [], false), ("unauthenticated", 401, [], true), ("not_ours", 404, [3], true),
    ])
    func `only a step that was tried is marked as failed, and only useful remedies are offered`(
        code: String, status: Int, failed: [Int], offersSomething: Bool
    ) async throws {
        try await withDemo { browser, address in
            try await browser.prepareEachPage(
                with: """
                    const realFetch = window.fetch;
                    window.fetch = async (...request) => {
                        if (!String(request[0]).includes('checkout-token')) return realFetch(...request);
                        return new Response(JSON.stringify({ code: '\(code)', title: 'x', status: \(status) }), {
                            status: \(status), headers: { 'Content-Type': 'application/problem+json' },
                        });
                    };
                    """
            )
            try await browser.open(address)
            try await browser.wait(until: "!document.querySelector('#error').hidden")
            let outcome = try await browser.run(
                """
                return [
                    [...document.querySelectorAll('[data-state=failed][data-step]')].map(one => +one.dataset.step),
                    document.querySelectorAll('[data-state=done][data-step], [data-state=active][data-step]').length,
                    document.querySelector('#retry').checkVisibility(),
                ];
                """
            )
            #expect(
                outcome
                    == .array([
                        .array(failed.map { .number(Double($0)) }), .number(0), .bool(offersSomething),
                    ]))
        }
    }

    @Test func `a retry after a failure loads the invoice without losing the focus`() async throws {
        try await withDemo { browser, address in
            try await browser.prepareEachPage(
                with: """
                    const realFetch = window.fetch;
                    window.isDown = true;
                    window.fetch = async (...request) => {
                        if (!window.isDown || !String(request[0]).includes('checkout-token')) return realFetch(...request);
                        return new Response('', { status: 404 });
                    };
                    """
            )
            try await browser.open(address)
            try await browser.wait(until: "!document.querySelector('#error').hidden")
            _ = try await browser.run("window.isDown = false; document.querySelector('#retry').focus();")
            try await browser.press(Browser.enter)
            try await browser.wait(until: "\(Self.isReady) && document.querySelector('#invoice-pay') !== null")
            #expect(
                try await browser.run("return [document.activeElement.id, document.querySelector('#error').hidden]")
                    == .array(["payer", .bool(true)]))
        }
    }

    @Test func `wide pages show both halves side by side, and narrow ones do not overflow`() async throws {
        try await withDemo { browser, address in
            for path in ["", "?customer=cus_other&invoice=oth_2001"] {
                try await browser.open(address + path)
                try await browser.wait(
                    until: "['ready', 'failed'].includes(document.querySelector('#status').dataset.state)")
                for width in [320, 375, 640, 1_000, 1_400, 2_560] {
                    try await resize(browser, width: width)
                    let faults = try await browser.run(
                        """
                        const box = id => document.querySelector(id)?.getBoundingClientRect();
                        const faults = [];
                        if (document.documentElement.scrollWidth > document.documentElement.clientWidth) {
                            faults.push(`${document.documentElement.scrollWidth} wide`);
                        }
                        const [payer, developer] = [box('#payer'), box('#developer')];
                        const isBeside = payer.right <= developer.left && payer.top === developer.top;
                        const isAbove = payer.bottom <= developer.top && payer.left === developer.left;
                        if (!(\(width) < 992 ? isAbove : isBeside)) faults.push('the halves');
                        const pay = box('#invoice-pay');
                        if (pay && pay.top - box('.lines').bottom > 32) faults.push('a hole above the button');
                        return faults;
                        """
                    )
                    #expect(faults == .array([]), "\(path) \(width)")
                }
            }
        }
    }

    @Test(arguments: ["light", "dark"])
    func `all text has the contrast that WCAG level AA requires`(scheme: String) async throws {
        try await withDemo { browser, address in
            try await browser.devTools(
                "Emulation.setEmulatedMedia",
                ["features": .array([["name": "prefers-color-scheme", "value": .string(scheme)]])]
            )
            for step in ["", "#pretend-refused", "#try-other", "#invoice-pay", "#switch"] {
                if step.isEmpty {
                    try await browser.open(address)
                } else {
                    _ = try await browser.run("document.querySelector('\(step)').click()")
                    try await browser.wait(until: Self.states[step] ?? "false")
                }
                try await browser.wait(
                    until: "['ready', 'failed'].includes(document.querySelector('#status')?.dataset.state)")
                #expect(try await browser.run(Self.faintText) == .array([]), "\(step)")
            }
        }
    }

    /// Conditions that show that a click on an element has had its effect.
    private static let states = [
        "#pretend-refused": "document.querySelector('#token-replacements').textContent === '1'",
        "#try-other": "document.querySelector('#answer').dataset.state === 'refused'",
        "#invoice-pay": "document.querySelector('#invoice-status').textContent === 'Paid'",
        "#switch": "document.querySelector('#error')?.hidden === false",
    ]

    /// A script that finds text with a contrast below 4.5:1. Disabled buttons are exempt.
    private static let faintText = """
        const numbers = color => (color.match(/[0-9.]+/g) ?? []).map(Number);
        const luminance = color => numbers(color).slice(0, 3).map(part => part / 255)
            .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
            .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
        const ground = element => {
            for (let one = element; one; one = one.parentElement) {
                const color = getComputedStyle(one).backgroundColor;
                if (numbers(color)[3] !== 0) return color;
            }
            throw new Error('no background');
        };
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        const faint = [];
        let seen = 0;
        while (walker.nextNode()) {
            const element = walker.currentNode.parentElement;
            if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
            if (element.closest('.unseen, noscript, [aria-disabled=true]')) continue;
            seen += 1;
            const both = [luminance(getComputedStyle(element).color), luminance(ground(element))];
            const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
            if (ratio < 4.5) faint.push(`${ratio.toFixed(2)}: ${walker.currentNode.data}`);
        }
        if (seen < 40) faint.push(`only ${seen} texts`);
        return faint;
        """

    @Test func `the demo page works under a content security policy that allows nothing inline`() async throws {
        try await withDemo { browser, address in
            try await browser.prepareEachPage(
                with: """
                    window.violations = [];
                    document.addEventListener('securitypolicyviolation', one => window.violations.push(one.blockedURI));
                    """
            )
            try await browser.open(address)
            try await browser.wait(until: Self.isReady)
            let answer = try await browser.run(
                """
                const policy = (await fetch('./')).headers.get('Content-Security-Policy');
                return [policy.startsWith("default-src 'self';"), policy.includes('unsafe'), window.violations];
                """
            )
            #expect(answer == .array([.bool(true), .bool(false), .array([])]))
        }
    }
}
#endif
