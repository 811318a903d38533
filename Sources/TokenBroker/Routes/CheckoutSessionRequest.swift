/// The body of a request for a checkout token, in either of the spellings that the vendor's samples use.
struct CheckoutSessionRequest: Sendable, Equatable {
    var customer: String
    var invoice: String
    /// A token this page was given and that was refused before its time.
    var replaces: Token.ID?

    init(_ bytes: [UInt8]) throws(Problem) {
        let body: JSONValue
        do {
            body = try JSONValue.parse(bytes, maximumDepth: 8)
        } catch {
            switch error {
            case .malformed: throw .invalidRequest("The body is not valid JSON.")
            case .duplicateKey: throw .invalidRequest("A member stands twice in the body.")
            case .tooDeep: throw .invalidRequest("The body is nested too deeply.")
            }
        }
        guard case .object = body else { throw .invalidRequest("The body must be a JSON object.") }
        self.customer = try Self.id(in: body, "customerId", "customer_id")
        self.invoice = try Self.id(in: body, "invoiceId", "invoice_id")
        if let replaces = body["replaces"], replaces != .null {
            guard let id = replaces.string, Self.isTokenID(id) else {
                throw .invalidRequest("replaces must be the tokenId of an earlier answer.")
            }
            self.replaces = Token.ID(rawValue: id)
        }
    }

    private static func isTokenID(_ text: String) -> Bool {
        (1...255).contains(text.utf8.count) && text.utf8.allSatisfy { 0x21...0x7E ~= $0 }
    }

    private static func id(in body: JSONValue, _ camel: String, _ snake: String) throws(Problem) -> String {
        let found = [body[camel], body[snake]].compactMap { $0 }
        guard let first = found.first else { throw .invalidRequest("\(camel) is missing.") }
        guard found.allSatisfy({ $0 == first }) else { throw .invalidRequest("\(camel) and \(snake) differ.") }
        guard let id = first.string else { throw .invalidRequest("\(camel) must be a string.") }
        guard isID(id) else {
            throw .invalidRequest("\(camel) must have 1 to 255 characters, and no control or formatting characters.")
        }
        return id
    }

    /// Formatting characters turn text around or cannot be seen, so that two ids can look alike. A part that is `.` or `..` means
    /// another place in a path, even when it is percent-encoded.
    private static func isID(_ text: String) -> Bool {
        (1...255).contains(text.unicodeScalars.count)
            && text.unicodeScalars.allSatisfy {
                ![.control, .format, .lineSeparator, .paragraphSeparator].contains($0.properties.generalCategory)
            }
            && !text.split(whereSeparator: { "/\\".contains($0) }).contains { $0 == "." || $0 == ".." }
    }
}
