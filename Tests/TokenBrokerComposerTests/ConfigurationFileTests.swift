#if ConfigurationSupport
import FoundationEssentials
import Testing
import TokenBroker

@testable import TokenBrokerComposer

@Suite struct `A configuration file` {
    private func error(_ text: String) throws -> ConfigurationError.Problem {
        let error = #expect(throws: ConfigurationError.self) {
            try ConfigurationNode(parsing: text, name: "broker.yaml")
        }
        return try #require(error?.problems.first)
    }

    private func text(_ node: ConfigurationNode, _ path: String...) -> String? {
        var node = node
        for name in path {
            guard let member = node[name] else { return nil }
            node = member.value
        }
        guard case .scalar(let text, _) = node.content else { return nil }
        return text
    }

    @Test(arguments: [
        "server:\n  port: 1\n  host: \"a\\u00e9b\"\n", "{\"server\":{\"port\":1,\"host\":\"aéb\"}}",
        "{\n\t\"server\" : {\n\t\t\"port\":\t1,\n\t\t\"host\": \"a\\u00e9b\"\n\t}\n}\n",
        "\u{FEFF}server: {port: 1, host: aéb}",
        "server:\r\n  port: 1\r\n  host: aéb\r\n",
        "---\n# a comment with a & b and *c*\nserver: {port: 1, host: 'aéb'}\n...\n",
    ])
    func `a configuration file is YAML or JSON`(_ text: String) throws {
        let node = try ConfigurationNode(parsing: text, name: "")
        #expect(self.text(node, "server", "port") == "1")
        #expect(self.text(node, "server", "host") == "aéb")
    }

    @Test func `a configuration file's values know their lines`() throws {
        let node = try ConfigurationNode(parsing: "# first\na: 1\nb:\n  c: 2\n", name: "")
        #expect(node["a"]?.line == 2)
        #expect(node["b"]?.value["c"]?.value.line == 4)
    }

    @Test(arguments: ["", "\n\n", "# nothing\n", "---\n", "null", "{}"])
    func `a configuration file may be empty`(_ text: String) throws {
        guard case .map(let members) = try ConfigurationNode(parsing: text, name: "").content else {
            Issue.record("no map")
            return
        }
        #expect(members.isEmpty)
    }

    @Test(arguments: [
        ("a: [1, 2\n", 2), ("a: 1\nb: }\n", 2), ("{\"a\": 1,, }", 1), ("a: 1\n\tb: 2", 2), ("a: \"open", 1),
        ("a: 1\nb\n", 3),
        ("a: {b: 1}}\n", 1), ("- 1\n- 2\n", 1), ("text", 1), ("a: 1\n---\nb: 2\n", 2), ("? [x]\n: 1\n", 1),
        ("a: !env SECRET\n", 1),
        ("a: !!binary aGk=\n", 1), ("\n\na: &x 1\nb: 2\n", 3), ("a: &x 1\nb: *x\n", 1), ("<<: {a: 1}\na: *b\n", 2),
    ])
    func `a malformed configuration file is reported with its line`(_ text: String, _ line: Int) throws {
        let problem = try error(text)
        #expect(problem.code == .malformed)
        #expect(problem.place == "broker.yaml:\(line)")
    }

    @Test(arguments: ["a: 1\nb: 2\n\"a\": 3\n", "{\"a\": 1, \"\\u0061\": 2}", "s: {x: 1, 'x': 2}"])
    func `a configuration file cannot have the same key twice`(_ text: String) throws {
        let problem = try error(text)
        #expect(problem.message.contains("is repeated"))
    }

    /// A few lines whose aliases would expand beyond any memory, as a value and inside a key.
    @Test(arguments: ["v: *i\n", "? *i\n: 1\n", "? [*i]\n: 1\n"])
    func `a configuration file does not expand alias bombs`(_ end: String) throws {
        var text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        for (name, previous) in zip("bcdefghi", "abcdefgh") {
            text +=
                "\(name): &\(name) [" + Array(repeating: "*\(previous)", count: 10).joined(separator: ", ") + "]\n"
        }
        #expect(try error(text + end).code == .malformed)
    }

    @Test(arguments: ["[", "{a: ", "- ", "? ", "[{a: "])
    func `a configuration file that is nested too deeply is refused`(_ opening: String) throws {
        for count in [40, 900, 20_000] {
            #expect(try error("a:\n  " + String(repeating: opening, count: count)).code == .malformed)
        }
    }

    @Test func `a configuration file that is too large is refused`() throws {
        #expect(try error("a: " + String(repeating: "x", count: 300_000)).code == .unreadable)
    }

    /// Every prefix and many random changes of a real file are read or refused, and no error shows the content.
    @Test func `a corrupted configuration file is read or refused without showing its content`() throws {
        let whole = """
            server: {host: 127.0.0.1, port: 8080}
            vendor:
              environment: "demo"   # sentinel
              baseURL: 'https://sentinel.example'
            credentials: {sources: [environment, file], file: {path: /run/sentinel}}
            access: {mode: open}
            json: {"a": [1, 2.5, true, null, "\\u0041\\n"], "b": {}}
            text: |
              sentinel
            """
        var generator = SplitMix(state: 42)
        let bytes = Array(whole.utf8)
        var candidates = (0...bytes.count).map { Array(bytes[..<$0]) }
        let alphabet = Array("{}[]:,-?!&*|>'\"%@`#\n\t \\~<=\u{0}\u{7f}aé".utf8)
        for _ in 0..<2000 {
            var changed = bytes
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let index = Int.random(in: 0..<changed.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: changed[index] = alphabet[Int.random(in: 0..<alphabet.count, using: &generator)]
                case 1: changed.remove(at: index)
                default: changed.insert(alphabet[Int.random(in: 0..<alphabet.count, using: &generator)], at: index)
                }
            }
            candidates.append(changed)
        }
        var refused = 0
        for candidate in candidates {
            guard let text = String(validating: candidate, as: UTF8.self) else { continue }
            do {
                let reader = ConfigurationReader(try BrokerConfiguration(text, environment: [:]))
                if Settings(reader, .everything) == nil { throw ConfigurationError(reader.problems) }
            } catch {
                refused += 1
                #expect(!"\(error)".contains("sentinel"))
                #expect(!"\(error)".isEmpty)
            }
        }
        #expect(refused > 1000)
    }
}

@Suite struct `Loading a configuration` {
    @Test func `a configuration is loaded from a path or from the variable that names it`() throws {
        let path = FileManager.default.temporaryDirectory.appending(
            path: "broker-\(UInt64.random(in: 0 ... .max)).yaml")
        try Data("vendor: {environment: demo}".utf8).write(to: path)
        defer { try? FileManager.default.removeItem(at: path) }
        for configuration in [
            try BrokerConfiguration.load(path.path, environment: [:]),
            try BrokerConfiguration.load(environment: ["TOKEN_BROKER_CONFIG": path.path]),
        ] {
            #expect(configuration.name == path.path)
            #expect(configuration.root["vendor"] != nil)
        }
    }

    @Test(arguments: ["vendor: {environment: demo}", #"{"vendor": {"environment": "demo"}}"#])
    func `loading a configuration skips a byte order mark`(text: String) throws {
        let path = FileManager.default.temporaryDirectory.appending(
            path: "broker-\(UInt64.random(in: 0 ... .max)).yaml")
        try Data("\u{FEFF}\(text)".utf8).write(to: path)
        defer { try? FileManager.default.removeItem(at: path) }
        #expect(try BrokerConfiguration.load(path.path, environment: [:]).root["vendor"]?.line == 1)
        #expect(try BrokerConfiguration("\u{FEFF}\(text)", name: "x", environment: [:]).root["vendor"]?.line == 1)
    }

    @Test func `a configuration path that cannot be read is reported with the reason`() throws {
        func message(_ path: String?) throws -> String {
            let error = #expect(throws: ConfigurationError.self) {
                try BrokerConfiguration.load(path, environment: [:])
            }
            return "\(try #require(error))"
        }
        #expect(try message("/nowhere/broker.yaml") == "/nowhere/broker.yaml: no such file")
        #expect(try message("/").hasPrefix("/: the file cannot be read: "))
        #expect(try message("/dev/zero").hasPrefix("/dev/zero: the file cannot be read: "))
        #expect(try message(nil).contains("TOKEN_BROKER_CONFIG"))
    }
}

private struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
#endif
