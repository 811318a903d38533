#if ConfigurationSupport
import Foundation
import TokenBroker
import Yams

/// A value in a configuration file, with its line. The file is YAML, of which JSON is a subset.
struct ConfigurationNode: Sendable {
    var line: Int
    var content: Content

    enum Content: Sendable {
        /// Text. `isPlain` means without quotes: only then can it be a number, a Boolean or null.
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

    /// Whether the value is `~`, `null`, or absent after the colon.
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
    /// The maximum size of a file. A configuration rarely has more than a few hundred lines.
    static let maximumBytes = 256 << 10
    private static let maximumDepth = 32

    /// Parses one YAML or JSON document. An empty document is an empty map.
    /// - Parameter name: The file's name in errors.
    init(parsing text: String, name: String) throws(ConfigurationError) {
        func malformed(_ line: Int?, _ message: String) -> ConfigurationError {
            ConfigurationError([.init(.malformed, place: line.map { "\(name):\($0)" } ?? name, message: message)])
        }
        let text = withoutByteOrderMark(text)
        guard text.utf8.count <= Self.maximumBytes else {
            throw ConfigurationError([.tooLarge(name)])
        }
        // The parser expands aliases inside keys while it compares the keys, before the tree can be inspected. A few
        // lines could keep it busy for years, so text that has both an anchor and an alias is refused before it is
        // parsed.
        if let line = text.firstLine(with: "&"), text.firstLine(with: "*") != nil {
            throw malformed(line, "anchors and aliases (&name, *name) are not supported; write the value out")
        }
        do {
            // Without tag resolution, every scalar is text. The key that reads it decides what it means.
            let parser = try Parser(yaml: text, resolver: .basic, encoding: .utf8)
            let root = try parser.singleRoot()
            // A node holds a weak reference to its anchor, and the parser a strong one.
            self = try withExtendedLifetime(parser) {
                try root.map { try Self(node: $0, depth: 0) } ?? Self(line: 1, content: .map([]))
            }
        } catch let error as Unsupported {
            throw malformed(error.line, error.message)
        } catch let error as YamlError {
            // Uses only the parser's own words and the line, because the error's description quotes the file.
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
                throw malformed(context.mark.line, "this key is repeated: \(names)")
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
        guard depth <= Self.maximumDepth else { throw Unsupported(line: line, message: "nested too deeply") }
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

private let tagged = "tags (!name) are not supported; write the value without a tag"

extension ConfigurationNode.Content {
    /// The kind of value in words, without the value itself.
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

/// Reads a file as UTF-8 text. Errors never contain the file's content.
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

/// Returns a key's name, truncated at the first unusual character. If the space after a colon is missing
/// (`client_secret:abc`), the name contains the value.
func displayed(_ name: String) -> String {
    let safe = name.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || "_-.".contains($0)) }.prefix(40)
    return safe.count == name.count ? name : "\(safe)…"
}

extension String {
    /// Whether the indentation of a line, counted from 1, contains a tab.
    fileprivate func isIndentedWithTab(line: Int) -> Bool {
        let lines = utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        return lines.indices.contains(line - 1)
            && lines[line - 1].prefix { [0x20, 0x09].contains($0) }.contains(0x09)
    }

    /// Returns the first line in which `marker` begins a word, as it does in an anchor or an alias.
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
