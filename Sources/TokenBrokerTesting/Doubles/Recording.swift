public import FoundationEssentials
import HTTPTypes
import TokenBroker

/// What went through a ``RecordingTransport``, without its secrets: a file of JSON that people review and keep beside their tests.
///
/// Read it before you commit it. What is replaced is what is known to be secret, see ``RecordingTransport``; a vendor may put one where nobody
/// expects it.
public struct Recording: Sendable, Hashable {
    /// When it was begun. Tokens in it are valid then, so use it as the wall clock of a test that replays.
    public var recordedAt: Date
    /// In the order in which the requests were made.
    public var exchanges: [Exchange]

    /// One request and what came of it.
    public struct Exchange: Sendable, Hashable {
        /// What was sent.
        public var request: Request
        /// What came back; `nil` if nothing did.
        public var response: Response?
        /// The ``TransportError/Code`` of the failure; `nil` with a response.
        public var failure: String?
    }

    /// What was sent.
    public struct Request: Sendable, Hashable {
        var method: String
        var scheme: String?
        var authority: String?
        var path: String?
        var headerFields: [Field]
        var body: Body?
    }

    /// What came back.
    public struct Response: Sendable, Hashable {
        var status: Int
        var headerFields: [Field]
        var body: Body?
        /// In milliseconds.
        var elapsed: Int
    }

    /// A header field or a form's parameter; `name: value` in the file.
    struct Field: Sendable, Hashable {
        var name: String
        var value: String
    }

    /// A body in the form that reads best: an object with one member in the file, and nothing if it is empty.
    enum Body: Sendable, Hashable {
        case json(JSONValue)
        case form([Field])
        case text(String)
        case base64(String)
    }

    /// Writes it to a file, the same recording always as the same bytes.
    public func write(to path: String) throws {
        try Data(json.serialized(indented: true) + [UInt8(ascii: "\n")]).write(
            to: URL(filePath: path), options: .atomic)
    }

    /// Reads a file that ``write(to:)`` wrote.
    /// - Throws: ``Malformed`` if it is another file, or what Foundation throws if it cannot be read.
    public init(contentsOf path: String) throws {
        try self.init(json: try JSONValue.parse(Array(Data(contentsOf: URL(filePath: path))), maximumDepth: 64))
    }

    /// Why a file is no recording.
    public struct Malformed: Error, Sendable, CustomStringConvertible {
        /// Which member is missing or of another type.
        public var member: String
        /// Names the member.
        public var description: String { "it is no recording: \(member) is missing or of another type" }
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

// MARK: The file

extension Recording {
    fileprivate var json: JSONValue {
        [
            "recordedAt": .string(recordedAt.formatted(.iso8601)),
            "exchanges": .array(exchanges.map(\.json)),
        ]
    }

    fileprivate init(json: JSONValue) throws(Malformed) {
        guard let date = json["recordedAt"].flatMap(timestamp) else { throw Malformed(member: "recordedAt") }
        let exchanges = try json.elements("exchanges") { (json) throws(Malformed) in try Exchange(json: json) }
        self.init(recordedAt: date, exchanges: exchanges)
    }
}

extension Recording.Exchange {
    fileprivate var json: JSONValue {
        var members: [ExactString: JSONValue] = ["request": request.json]
        members["response"] = response?.json
        members["failure"] = failure.map(JSONValue.string)
        return .object(members)
    }

    fileprivate init(json: JSONValue) throws(Recording.Malformed) {
        guard let request = json["request"] else { throw Recording.Malformed(member: "request") }
        self.request = try Recording.Request(json: request)
        if let response = json["response"] { self.response = try Recording.Response(json: response) }
        failure = json["failure"]?.string?.unicode
    }
}

extension Recording.Request {
    fileprivate var json: JSONValue {
        var members: [ExactString: JSONValue] = ["method": .string(method), "headerFields": headerFields.json]
        members["scheme"] = scheme.map(JSONValue.string)
        members["authority"] = authority.map(JSONValue.string)
        members["path"] = path.map(JSONValue.string)
        members["body"] = body?.json
        return .object(members)
    }

    fileprivate init(json: JSONValue) throws(Recording.Malformed) {
        guard let method = json["method"]?.string?.unicode else { throw Recording.Malformed(member: "method") }
        self.method = method
        (scheme, authority) = (json["scheme"]?.string?.unicode, json["authority"]?.string?.unicode)
        path = json["path"]?.string?.unicode
        headerFields = try [Recording.Field](json: json, "headerFields")
        if let body = json["body"] { self.body = try Recording.Body(json: body) }
    }
}

extension Recording.Response {
    fileprivate var json: JSONValue {
        var members: [ExactString: JSONValue] = [
            "status": .number(status), "headerFields": headerFields.json, "elapsed": .number(elapsed),
        ]
        members["body"] = body?.json
        return .object(members)
    }

    fileprivate init(json: JSONValue) throws(Recording.Malformed) {
        func integer(_ name: String) throws(Recording.Malformed) -> Int {
            guard let number = json[name]?.number.flatMap({ Int(exactly: $0) }) else {
                throw Recording.Malformed(member: name)
            }
            return number
        }
        (status, elapsed) = (try integer("status"), try integer("elapsed"))
        headerFields = try [Recording.Field](json: json, "headerFields")
        if let body = json["body"] { self.body = try Recording.Body(json: body) }
    }
}

extension Recording.Body {
    fileprivate var json: JSONValue {
        switch self {
        case .json(let value): ["json": value]
        case .form(let form): ["form": form.json]
        case .text(let text): ["text": .string(text)]
        case .base64(let text): ["base64": .string(text)]
        }
    }

    fileprivate init(json: JSONValue) throws(Recording.Malformed) {
        if let value = json["json"] {
            self = .json(value)
        } else if json["form"] != nil {
            self = .form(try [Recording.Field](json: json, "form"))
        } else if let text = json["text"]?.string {
            self = .text(text.unicode)
        } else if let text = json["base64"]?.string {
            self = .base64(text.unicode)
        } else {
            throw Recording.Malformed(member: "body")
        }
    }
}

extension [Recording.Field] {
    fileprivate var json: JSONValue { .array(map { .string("\($0.name): \($0.value)") }) }

    fileprivate init(json: JSONValue, _ member: String) throws(Recording.Malformed) {
        self = try json.elements(member) { (json) throws(Recording.Malformed) in
            guard let text = json.string?.unicode else { throw Recording.Malformed(member: member) }
            let end = text.firstRange(of: ": ") ?? text.endIndex..<text.endIndex
            return Recording.Field(name: String(text[..<end.lowerBound]), value: String(text[end.upperBound...]))
        }
    }
}

extension JSONValue {
    fileprivate func elements<Element>(
        _ member: String, _ element: (JSONValue) throws(Recording.Malformed) -> Element
    ) throws(Recording.Malformed) -> [Element] {
        guard case .array(let values)? = self[member] else { throw Recording.Malformed(member: member) }
        return try values.map(element)
    }
}
