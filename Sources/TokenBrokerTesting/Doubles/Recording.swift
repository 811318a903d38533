public import FoundationEssentials
import HTTPTypes
import TokenBroker

/// The exchanges of a ``RecordingTransport``, without secrets, as a JSON file that people review and keep beside their
/// tests.
///
/// Review a recording before you commit it. Only values that are known to be secret are replaced;
/// ``RecordingTransport`` lists them. A vendor may put a secret where nobody expects it.
public struct Recording: Sendable, Hashable {
    /// When the recording began. Its tokens are valid at this time, so use it as the wall clock of a test that replays
    /// the recording.
    public var recordedAt: Date
    /// The exchanges, in the order of their requests.
    public var exchanges: [Exchange]

    /// A request and its outcome.
    public struct Exchange: Sendable, Hashable {
        /// The request.
        public var request: Request
        /// The response; `nil` if there was none.
        public var response: Response?
        /// The name of the `TransportError/Code` with which the call failed; `nil` if it did not fail.
        public var failure: String?
    }

    /// A recorded request.
    public struct Request: Sendable, Hashable {
        var method: String
        var scheme: String?
        var authority: String?
        var path: String?
        var headerFields: [Field]
        var body: Body?
    }

    /// A recorded response.
    public struct Response: Sendable, Hashable {
        var status: Int
        var headerFields: [Field]
        var body: Body?
        /// The elapsed time in milliseconds.
        var elapsed: Int
    }

    /// A header field or a form parameter. It is `name: value` in the file.
    struct Field: Sendable, Hashable {
        var name: String
        var value: String
    }

    /// A body in its most readable form. In the file, it is an object with one member; an empty body is left out.
    enum Body: Sendable, Hashable {
        case json(JSONValue)
        case form([Field])
        case text(String)
        case base64(String)
    }

    /// Writes the recording to a file. Equal recordings result in equal files.
    /// - Parameter path: The path of the file, which is replaced if it exists.
    /// - Throws: An error of Foundation if the file cannot be written.
    public func write(to path: String) throws {
        try Data(json.serialized(indented: true) + [UInt8(ascii: "\n")]).write(
            to: URL(filePath: path), options: .atomic)
    }

    /// Reads a file that ``write(to:)`` wrote.
    /// - Parameter path: The path of the file.
    /// - Throws: ``Malformed`` if the file is not a recording, or another error if it cannot be read or is not JSON.
    public init(contentsOf path: String) throws {
        try self.init(json: try JSONValue.parse(Array(Data(contentsOf: URL(filePath: path))), maximumDepth: 64))
    }

    /// An error for a file that is not a recording.
    public struct Malformed: Error, Sendable, CustomStringConvertible {
        /// The member that is missing or has the wrong type.
        public var member: String
        /// A message that names the member.
        public var description: String { "the file is not a recording: \(member) is missing or has the wrong type" }
    }

    init(recordedAt: Date, exchanges: [Exchange] = []) {
        // The file has whole seconds.
        self.recordedAt = Date(timeIntervalSince1970: recordedAt.timeIntervalSince1970.rounded(.down))
        self.exchanges = exchanges
    }
}

extension Recording.Body {
    /// The bytes of the body, apart from its secrets.
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

// MARK: File format

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
