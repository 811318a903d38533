public import FoundationEssentials
import HTTPTypes
import TokenBroker

/// What went through a ``RecordingTransport``, without its secrets: a file of JSON that people review and keep beside their tests.
///
/// Read it before you commit it. What is replaced is what is known to be secret, see ``RecordingTransport``; a vendor may put one where nobody
/// expects it.
public struct Recording: Sendable, Hashable, Codable {
    /// When it was begun. Tokens in it are valid then, so use it as the wall clock of a test that replays.
    public var recordedAt: Date
    /// In the order in which the requests were made.
    public var exchanges: [Exchange]

    /// One request and what came of it.
    public struct Exchange: Sendable, Hashable, Codable {
        /// What was sent.
        public var request: Request
        /// What came back; `nil` if nothing did.
        public var response: Response?
        /// The ``TransportError/Kind`` of the failure; `nil` with a response.
        public var failure: String?
    }

    /// What was sent.
    public struct Request: Sendable, Hashable, Codable {
        var method: String
        var scheme: String?
        var authority: String?
        var path: String?
        var headerFields: [Field]
        var body: Body?
    }

    /// What came back.
    public struct Response: Sendable, Hashable, Codable {
        var status: Int
        var headerFields: [Field]
        var body: Body?
        /// In milliseconds.
        var elapsed: Int
    }

    /// A header field or a form's parameter; `name: value` in the file.
    struct Field: Sendable, Hashable, Codable {
        var name: String
        var value: String

        init(name: String, value: String) {
            self.name = name
            self.value = value
        }

        init(from decoder: any Decoder) throws {
            let text = try decoder.singleValueContainer().decode(String.self)
            let end = text.firstRange(of: ": ") ?? text.endIndex..<text.endIndex
            self.init(name: String(text[..<end.lowerBound]), value: String(text[end.upperBound...]))
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            try container.encode("\(name): \(value)")
        }
    }

    /// A body in the form that reads best: an object with one member in the file, and nothing if it is empty.
    enum Body: Sendable, Hashable, Codable {
        case json(JSONValue)
        case form([Field])
        case text(String)
        case base64(String)

        private enum CodingKeys: CodingKey {
            case json, form, text, base64
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            if container.contains(.json) {
                self = .json(try container.decode(JSONValue.self, forKey: .json))
            } else if let form = try container.decodeIfPresent([Field].self, forKey: .form) {
                self = .form(form)
            } else if let text = try container.decodeIfPresent(String.self, forKey: .text) {
                self = .text(text)
            } else {
                self = .base64(try container.decode(String.self, forKey: .base64))
            }
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            switch self {
            case .json(let value): try container.encode(value, forKey: .json)
            case .form(let form): try container.encode(form, forKey: .form)
            case .text(let text): try container.encode(text, forKey: .text)
            case .base64(let text): try container.encode(text, forKey: .base64)
            }
        }
    }

    /// Writes it to a file, the same recording always as the same bytes.
    public func write(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        var data = try encoder.encode(self)
        data.append(UInt8(ascii: "\n"))
        try data.write(to: URL(filePath: path), options: .atomic)
    }

    /// Reads a file that was written.
    public init(contentsOf path: String) throws {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        self = try decoder.decode(Recording.self, from: Data(contentsOf: URL(filePath: path)))
    }

    init(recordedAt: Date, exchanges: [Exchange] = []) {
        // Whole seconds, as the file has them.
        self.recordedAt = Date(timeIntervalSince1970: recordedAt.timeIntervalSince1970.rounded(.down))
        self.exchanges = exchanges
    }
}

extension Recording.Body {
    /// What it was made of, secrets apart.
    var bytes: [UInt8] {
        switch self {
        case .json(let value): value.serialized
        case .form(let pairs):
            Array(pairs.map { "\(formEncoded($0.name))=\(formEncoded($0.value))" }.joined(separator: "&").utf8)
        case .text(let text): Array(text.utf8)
        case .base64(let text): Data(base64Encoded: text).map(Array.init) ?? []
        }
    }
}
