#if ConfigurationSupport
import Foundation
import TokenBroker
import Yams

/// What stands in a configuration file, with the line of each value. YAML, and with it JSON.
struct ConfigurationNode: Sendable {
    var line: Int
    var content: Content

    enum Content: Sendable {
        /// `isPlain` without quotes: only then can it be a number, `true` or nothing.
        case scalar(String, isPlain: Bool)
        case list([ConfigurationNode])
        case map([Member])
    }

    struct Member: Sendable {
        var name: String
        /// The line of the name.
        var line: Int
        var value: ConfigurationNode
    }

    /// `~`, `null`, or nothing at all after the colon.
    var isNull: Bool {
        guard case .scalar(let text, isPlain: true) = content else { return false }
        return ["", "~", "null"].contains(text)
    }

    subscript(name: String) -> Member? {
        guard case .map(let members) = content else { return nil }
        return members.first { $0.name == name }
    }
}

extension ConfigurationNode {
    /// Larger files are refused; a configuration has some hundred lines.
    static let maximumBytes = 256 << 10
    private static let maximumDepth = 32

    /// Parses one YAML or JSON document. An empty one is an empty map.
    /// - Parameter name: What to call the file in errors.
    init(parsing text: String, name: String) throws(ConfigurationError) {
        func malformed(_ line: Int?, _ message: String) -> ConfigurationError {
            ConfigurationError([.init(.malformed, place: line.map { "\(name):\($0)" } ?? name, message: message)])
        }
        let text = withoutByteOrderMark(text)
        guard text.utf8.count <= Self.maximumBytes else {
            throw ConfigurationError([.tooLarge(name)])
        }
        // An alias inside a key is expanded while the parser compares keys, before anybody can look at the tree: a
        // few lines could keep it busy for years. So a text with both an anchor and an alias never gets there.
        if let line = text.firstLine(with: "&"), text.firstLine(with: "*") != nil {
            throw malformed(line, "anchors and aliases (&name, *name) are not supported; write the value out")
        }
        do {
            // Without resolving, every scalar is text: what it means is decided by the key that reads it.
            let parser = try Parser(yaml: text, resolver: .basic, encoding: .utf8)
            let root = try parser.singleRoot()
            // A node holds its anchor weakly, the parser strongly.
            self = try withExtendedLifetime(parser) {
                try root.map { try Self(node: $0, depth: 0) } ?? Self(line: 1, content: .map([]))
            }
        } catch let error as Unsupported {
            throw malformed(error.line, error.message)
        } catch let error as YamlError {
            // Only the parser's own words and the place: its description quotes the file.
            switch error {
            case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
                .composer(_, let problem, let mark, _):
                let isTab =
                    text.isIndentedWithTab(line: mark.line)
                    && ["any token", "indentation"].contains(where: problem.contains)
                throw malformed(
                    mark.line,
                    isTab ? "tabs cannot indent YAML; use spaces" : "not valid YAML or JSON: \(problem)"
                )
            case .duplicatedKeysInMapping(let keys, let context):
                let names = keys.map { displayed($0) }.joined(separator: ", ")
                throw malformed(context.mark.line, "this key stands twice: \(names)")
            case .reader(let problem, _, _, _):
                throw malformed(nil, "not valid YAML or JSON: \(problem)")
            default:
                throw malformed(nil, "not valid YAML or JSON")
            }
        } catch {
            throw malformed(nil, "not valid YAML or JSON")
        }
        if isNull { content = .map([]) }
        guard case .map = content else {
            throw malformed(line, "expected a map of sections, found \(content.kind)")
        }
    }

    private struct Unsupported: Error {
        var line: Int?
        var message: String
    }

    private init(node: Node, depth: Int) throws(Unsupported) {
        let line = node.mark?.line ?? 1
        guard depth <= Self.maximumDepth else { throw Unsupported(line: line, message: "nested too deep") }
        guard node.anchor == nil else {
            throw Unsupported(line: line, message: "anchors (&name) are not supported; write the value out")
        }
        self.line = line
        switch node {
        case .scalar(let scalar):
            guard node.tag.rawValue == Tag.Name.str.rawValue else { throw Unsupported(line: line, message: tagged) }
            content = .scalar(scalar.string, isPlain: scalar.style == .plain)
        case .sequence(let sequence):
            guard node.tag.rawValue == Tag.Name.seq.rawValue else { throw Unsupported(line: line, message: tagged) }
            var elements: [ConfigurationNode] = []
            for element in sequence { elements.append(try Self(node: element, depth: depth + 1)) }
            content = .list(elements)
        case .mapping(let mapping):
            guard node.tag.rawValue == Tag.Name.map.rawValue else { throw Unsupported(line: line, message: tagged) }
            var members: [Member] = []
            for (key, value) in mapping {
                let key = try Self(node: key, depth: depth + 1)
                guard case .scalar(let name, _) = key.content else {
                    throw Unsupported(
                        line: key.line, message: "expected the name of a key, found \(key.content.kind)")
                }
                members.append(Member(name: name, line: key.line, value: try Self(node: value, depth: depth + 1)))
            }
            content = .map(members)
        case .alias:
            throw Unsupported(line: line, message: "aliases (*name) are not supported; write the value out")
        }
    }
}

private let tagged = "tags (!name) are not supported; write the value by itself"

extension ConfigurationNode.Content {
    /// In words, without the value.
    var kind: String {
        switch self {
        case .scalar: "a single value"
        case .list: "a list"
        case .map: "a map"
        }
    }
}

extension ConfigurationError.Problem {
    static func tooLarge(_ name: String) -> Self {
        Self(
            .unreadable, place: name,
            message: "expected at most \(ConfigurationNode.maximumBytes >> 10) KiB, found more"
        )
    }
}

/// Reads a file as text, without its content in any error.
func configurationText(path: String) throws(ConfigurationError) -> String {
    func unreadable(_ message: String) -> ConfigurationError {
        ConfigurationError([.init(.unreadable, place: path, message: message)])
    }
    let file: SmallFile?
    do throws(CredentialError) {
        file = try SmallFile(path: path, maximumBytes: ConfigurationNode.maximumBytes, source: path)
    } catch {
        if error.code == .malformed { throw ConfigurationError([.tooLarge(path)]) }
        throw unreadable("the file cannot be read: \(error.message)")
    }
    guard let bytes = file?.bytes else { throw unreadable("no such file") }
    guard let text = String(validating: bytes, as: UTF8.self) else {
        throw unreadable("the file is not UTF-8 text")
    }
    return text
}

/// The name of a key as far as it is one. A forgotten space (`client_secret:abc`) makes a value part of the name.
func displayed(_ name: String) -> String {
    let safe = name.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || "_-.".contains($0)) }.prefix(40)
    return safe.count == name.count ? name : "\(safe)…"
}

extension String {
    /// Whether the white space at the beginning of a line, counted from 1, has a tab.
    fileprivate func isIndentedWithTab(line: Int) -> Bool {
        let lines = utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        return lines.indices.contains(line - 1)
            && lines[line - 1].prefix { [0x20, 0x09].contains($0) }.contains(0x09)
    }

    /// The first line where `marker` begins a word, which is how an anchor or an alias is written.
    fileprivate func firstLine(with marker: Character) -> Int? {
        var line = 1
        var previous: Character = "\n"
        for (character, next) in zip(self, dropFirst()) {
            if character == marker, !next.isWhitespace, !previous.isLetter, !previous.isNumber,
                !"\"'".contains(previous)
            {
                return line
            }
            if character.isNewline { line += 1 }
            previous = character
        }
        return nil
    }
}
#endif
