import Foundation
import TestSupport
import Testing
@testable import TokenBroker

struct FormatTests {
    private func text(_ generator: inout SeededGenerator) -> String {
        let characters = Array("ab\"\\\n\té😀{}[]:, ")
        return String(
            (0..<Int.random(in: 0...5, using: &generator)).map { _ in
                characters.randomElement(using: &generator) ?? "x"
            })
    }

    @Test(arguments: [
        ("+ % : = &", "%2B+%25+%3A+%3D+%26"), ("é", "%C3%A9"), ("a-b_c.d~e*", "a-b_c.d%7Ee*"), ("", ""), ("\n", "%0A"),
    ])
    func `form encoding follows the standard`(text: String, expected: String) {
        #expect(formEncoded(text) == expected)
    }

    @Test func `percent encoding round-trips`() {
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<1000 {
            let original = text(&generator)
            #expect(percentDecoded(percentEncoded(original)) == original)
        }
        for bad in ["%", "%1", "%zz", "%ff", "a%"] { #expect(percentDecoded(bad) == nil) }
    }

    @Test(arguments: [
        ("0", 0.0), ("7", 7), ("86400", 86_400), ("99999999999999999999", 86_400),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 37),
        (" 7\t", 7), ("2.5", 2.5), ("0.001", 0.001), ("Sunday, 06-Nov-94 08:49:37 GMT", 37),
        ("Sun Nov  6 08:49:37 1994", 37),
        ("Sun Nov 06 08:49:37 1994", 37), ("Sunday, 06-Nov-93 08:49:37 GMT", 0),
        ("Sunday, 06-Nov-44 08:49:37 GMT", 86_400),
        ("Sunday, 06-Nov-45 08:49:37 GMT", 0), (" Sun, 06 Nov 1994 08:49:37 GMT ", 37),
        ("Sun, 06 Nov 1994 08:48:00 GMT", 0), ("Sun, 06 Nov 2094 08:48:00 GMT", 86_400),
    ])
    func `Retry-After is a number of seconds or a date`(text: String, seconds: Double) {
        let now = Date(timeIntervalSince1970: 784_111_740)
        #expect(retryAfter(text, now: now) == .seconds(seconds))
    }

    @Test(arguments: [
        "", "-1", "+1", "1.", ".5", "1.5.0", "1e3", "0x10", "soon", "10, 10", "7;8", "1 2", "١", "Sun, 06 Nov 1994",
        "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 CET",
        "Xyz, 06 Nov 1994 08:49:37 GMT", "Sunday, 06 Nov 1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT", "Sunday, 06-Nov-94-1 08:49:37 GMT", "Sun Nov 31 08:49:37 1994",
        "Sun Nov 6 08:49:37 94", "Sun Nov 6 08:49 1994", "Sun Nov 006 08:49:37 1994", "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:38 GMT",
    ])
    func `an invalid Retry-After is ignored`(text: String) {
        #expect(retryAfter(text, now: Date()) == nil)
    }

    @Test func `an HTTP date is read in all three forms and written in the preferred one`() {
        var generator = SeededGenerator(seed: 11)
        let names = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
        for _ in 0..<2000 {
            let date = Date(timeIntervalSince1970: Double(Int.random(in: 0...253_000_000_000, using: &generator)))
            let text = httpDateText(date)
            let parts = text.split(separator: " ")
            let style = Date.VerbatimFormatStyle(
                format: "\(day: .twoDigits) \(month: .abbreviated) \(year: .padded(4))",
                locale: Locale(identifier: "en_US_POSIX"), timeZone: .gmt, calendar: Calendar(identifier: .gregorian))
            #expect(parts[1...3].joined(separator: " ") == date.formatted(style))
            #expect(httpDate(text) == date)
            let name = names.first { $0.hasPrefix(parts[0].dropLast()) } ?? ""
            let asctime = "\(parts[0].dropLast()) \(parts[2]) \(Int(parts[1]) ?? 0) \(parts[4]) \(parts[3])"
            #expect(httpDate(asctime) == date)
            #expect(
                httpDate("\(name), \(parts[1])-\(parts[2])-\(parts[3].suffix(2)) \(parts[4]) GMT", now: date) == date)
        }
        #expect(httpDateText(Date(timeIntervalSince1970: 784_111_777.9)) == "Sun, 06 Nov 1994 08:49:37 GMT")
        #expect(httpDateText(Date(timeIntervalSince1970: 0)) == "Thu, 01 Jan 1970 00:00:00 GMT")
    }

    @Test func `timestamps agree with Foundation's`() {
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<2000 {
            let date = Date(timeIntervalSince1970: Double(Int.random(in: 0...253_000_000_000, using: &generator)))
            #expect(timestamp(.string(date.formatted(.iso8601))) == date)
        }
    }

    @Test func `malformed timestamps never crash`() {
        var generator = SeededGenerator(seed: 5)
        let characters = Array("0123456789-:TZ+. e")
        for _ in 0..<5000 {
            var text = Array("2027-01-15T08:10:00.123+01:00")
            for _ in 0..<3 {
                text[Int.random(in: 0..<text.count, using: &generator)] =
                    characters.randomElement(using: &generator) ?? "0"
            }
            _ = timestamp(.string(String(text.prefix(Int.random(in: 0...29, using: &generator)))))
        }
    }

    @Test func `claims are read from a JWT without verification`() {
        #expect(UnverifiedJWT(jwt(#"{"exp": 5, "a": "é?>"}"#))?.claims["a"] == "é?>")
        #expect(UnverifiedJWT(jwt(#"{"exp": 5}"#))?.expiry == Date(timeIntervalSince1970: 5))
        for bad in ["", "a", "a.b", "a.b.c.d", "a..c", "a.!!.c", jwt("[]"), jwt(#"{"a":1,"a":2}"#)] {
            #expect(UnverifiedJWT(bad) == nil, "\(bad)")
        }
    }

    @Test func `base64url has exactly one spelling for each value`() {
        var generator = SeededGenerator(seed: 7)
        for count in 0..<200 {
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            let text = Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
            #expect(base64URLDecoded(text.replacing("=", with: "")) == bytes)
            if text.hasSuffix("=") { #expect(base64URLDecoded(text) == nil) }
        }
        #expect(base64URLDecoded("") == [])
        #expect(base64URLDecoded("-_-_") == [0xFB, 0xFF, 0xBF])
        for other in [
            "A", "AAAAA", "AB", "AAB", "AP", "AA=", "AA==", "AA A", "AA\n", "AA+A", "AA/A", "AA.A", "\u{301}AAAA",
            "AAAA\u{301}",
            "-\u{301}AA", "A\u{212A}AA", "\u{FF21}AAA", "\0AAA", "AAA\u{200B}",
        ] {
            #expect(base64URLDecoded(other) == nil, "\(other)")
        }
    }

    @Test(arguments: [
        ("250ms", Duration.milliseconds(250)), ("10s", .seconds(10)), ("2m", .seconds(120)), ("1h", .seconds(3600)),
        ("0s", .zero),
    ])
    func `a duration is a number and a unit`(text: String, expected: Duration) {
        #expect(Duration(configured: text) == expected)
    }

    @Test(arguments: ["", "s", "10", "-1s", "1.5s", "10 s", "1d", "99999999999999999999s", "١s", "1S"])
    func `text other than a number with a unit is not a duration`(text: String) {
        #expect(Duration(configured: text) == nil)
    }

    @Test(arguments: [
        "localhost", "LOCALHOST", "localhost.", "a.localhost", "A.b.LocalHost.", "127.0.0.1", "127.255.255.254",
        "[::1]",
        "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::FFFF:7f00:1]",
    ])
    func `localhost names and loopback addresses are loopback`(host: String) {
        #expect(Host(host)?.isLoopback == true)
        #expect(Authority("\(host):8080")?.host.isLoopback == true)
    }

    @Test(arguments: [
        "localhost.example", "notlocalhost", "localhost-", "127.0.0.1.example", "128.0.0.1", "10.0.0.1", "0.0.0.0",
        "[::2]",
        "[::]", "[::ffff:10.0.0.1]", "xn--localhost-abc", "my_host", "a~b.example",
    ])
    func `hosts other than localhost and loopback addresses are not loopback`(host: String) {
        #expect(Host(host)?.isLoopback == false)
    }

    @Test(arguments: [
        "", ".", ".localhost", "a..localhost", "localhost..", "evil.com/.localhost", "a b.localhost",
        "[evil.localhost]",
        "[localhost]", "[127.0.0.1]", "[::1", "::1", "[::1%25lo]", "[v1.a]", "[]", "a@localhost", "a%2elocalhost",
        "a\u{301}.localhost",
        "\u{212A}.localhost", "l\u{f6}calhost", "evil.com#.localhost", "evil.com?.localhost", "evil.com\\.localhost",
        "a,localhost", "a:b.localhost", "a\t.localhost", "a\0.localhost", "a!.localhost", "'.localhost", "127.1",
        "127.0.0.256", "127.0.0.0x1", "0x7f000001", "0177.0.0.1", "2130706433", "127.0.0.1.", "127.0.0.+1",
        "\u{FF11}27.0.0.1", String(repeating: "a", count: 64) + ".localhost",
        String(repeating: "a.", count: 130) + "localhost",
    ])
    func `a text that is not a valid host is rejected`(text: String) {
        #expect(Host(text) == nil)
        #expect(Authority("\(text):80") == nil)
    }

    @Test func `authorities are parsed and compared by their meaning`() throws {
        #expect(Authority("a.example:443")?.port == 443)
        #expect(Authority("[::1]:80")?.description == "[::1]:80")
        #expect(Authority("A.Example.:08080")?.description == "a.example:8080")
        #expect(Authority("PUBLIC.example.") == Authority("public.example"))
        #expect(Authority("a.example:443") != Authority("a.example"))
        for bad in [
            "", ":80", "a:b", "a:99999", "a:65536", "u@a", "u:p@a:80", "[::1", "[::1]x", "a:", "::1", "a:80:80",
            "a:+80", "a: 80",
        ] {
            #expect(Authority(bad) == nil, "\(bad)")
        }
    }

    @Test func `address blocks that cover practically everyone are recognized`() {
        func areEverybody(_ blocks: String...) -> Bool { blocks.compactMap { IPAddressBlock($0) }.areEverybody }
        #expect(areEverybody("0.0.0.0/0"))
        #expect(areEverybody("::/0"))
        #expect(areEverybody("0.0.0.0/1", "128.0.0.0/1"))
        #expect(areEverybody("10.0.0.0/8", "128.0.0.0/1"))
        #expect(areEverybody("::ffff:0:0/96"))
        #expect(areEverybody("::ffff:0:0/97"))
        #expect(areEverybody("2000::/3"))
        #expect(areEverybody("::/1", "8000::/1"))
        #expect(areEverybody("2000::/8", "2100::/8"))
        #expect([IPAddressBlock].init((0..<16).compactMap { IPAddressBlock("\($0 + 16).0.0.0/8") }).areEverybody)
        #expect(!areEverybody())
        #expect(!areEverybody("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8"))
        #expect(!areEverybody("10.0.0.0/8", "10.0.0.0/8", "10.1.0.0/16", "::ffff:10.0.0.0/104"))
        #expect(!areEverybody("fc00::/7", "fe80::/10", "2001:db8::/32", "2606:4700::/32", "::1", "203.0.113.7"))
    }

    @Test func `a route path matches whole segments`() {
        let path: RoutePath = "/invoices/{id}"
        #expect(path.match("/invoices/inv_1") == ["id": "inv_1"])
        #expect(path.match("/invoices/a%20b?x=/y") == ["id": "a b"])
        for other in ["/invoices", "/invoices/", "/invoices/a/b", "/Invoices/a", "/invoices/%zz", "", "/"] {
            #expect(path.match(other) == nil, "\(other)")
        }
    }
}

struct VendorTests {
    @Test(arguments: [
        "https://api.example", "https://api.example:8443/base/", "http://127.0.0.1:8081", "http://localhost",
        "http://[::1]:80",
    ])
    func `a vendor's base URL can be https, or http on loopback`(text: String) throws {
        _ = try Vendor(profile: .alternativePayments, baseURL: text)
    }

    @Test(arguments: [
        "", "api.example", "http://api.example", "ftp://api.example", "https://", "https://u@api.example",
        "https://a b",
        "https://api.example/?q=1", "https://api.example#f", "https://api.example?q=1", "http://127.0.0.1.example",
    ])
    func `a vendor's base URL that is neither https nor loopback http is refused`(text: String) {
        #expect(throws: ServerURL.Invalid.self) { try Vendor(profile: .alternativePayments, baseURL: text) }
    }
}

struct DotEnvTests {
    /// Found by fuzzing: each of these marks forms one character with the quote before it.
    @Test(arguments: ["\u{301}", "\u{6DD}", "\u{200D}"])
    func `a combining mark in a dotenv file does not hide the sign next to it`(mark: String) {
        #expect(dotEnv("A=\"\(mark)b\(mark)\"")?["A"] == "\(mark)b\(mark)")
        #expect(dotEnv("A='\(mark)'")?["A"] == mark)
        #expect(dotEnv("A=\(mark)")?["A"] == mark)
        #expect(dotEnv("A=b #\(mark)")?["A"] == "b")
        #expect(dotEnv("A=\"\\\\\(mark)\"")?["A"] == "\\\(mark)")
    }

    @Test func `lines of a dotenv file can end as on any system`() {
        #expect(dotEnv("A=1\r\nB=2\rC=3\n") == ["A": "1", "B": "2", "C": "3"])
    }
}
