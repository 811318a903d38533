/// The body of a request for a checkout token, in either spelling that the vendor's samples use.
struct CheckoutSessionRequest: Sendable, Equatable {
    var customer: ExactString
    var invoice: ExactString
    /// The id of a token that this page received and that was refused before it expired.
    var replaces: Token.ID?

    init(_ bytes: [UInt8]) throws(Problem) {
        let body: JSONValue
        do {
            body = try JSONValue.parse(bytes, maximumDepth: 8)
        } catch {
            switch error {
            case .malformed: throw .invalidRequest("The body is not valid JSON.")
            case .duplicateKey: throw .invalidRequest("The body has a duplicate member.")
            case .tooDeep: throw .invalidRequest("The body is nested too deeply.")
            }
        }
        guard case .object = body else { throw .invalidRequest("The body must be a JSON object.") }
        self.customer = try Self.id(in: body, "customerId", "customer_id")
        self.invoice = try Self.id(in: body, "invoiceId", "invoice_id")
        if let replaces = body["replaces"], replaces != .null {
            guard let id = replaces.string, Self.isTokenID(id) else {
                throw .invalidRequest("replaces must be the tokenId of an earlier response.")
            }
            self.replaces = Token.ID(rawValue: id)
        }
    }

    private static func isTokenID(_ text: ExactString) -> Bool {
        (1...255).contains(text.utf8.count) && text.utf8.allSatisfy { 0x21...0x7E ~= $0 }
    }

    private static func id(in body: JSONValue, _ camel: String, _ snake: String) throws(Problem) -> ExactString {
        let found = [body[camel], body[snake]].compactMap { $0 }
        guard let first = found.first else { throw .invalidRequest("\(camel) is missing.") }
        guard found.allSatisfy({ $0 == first }) else { throw .invalidRequest("\(camel) and \(snake) differ.") }
        guard let id = first.string else { throw .invalidRequest("\(camel) must be a string.") }
        guard isID(id) else {
            throw .invalidRequest(
                "\(camel) must have 1 to 255 visible Unicode scalars, without white space at either end and without "
                    + "dot segments."
            )
        }
        return id
    }

    /// Whether everyone who sees the id reads the same one, as text and as part of a path.
    ///
    /// The id is checked scalar by scalar: a slash and a combining mark after it are one character, which is not a
    /// slash. The Unicode tables of the Swift runtime decide which scalars are assigned.
    private static func isID(_ text: ExactString) -> Bool {
        let scalars = text.unicode.unicodeScalars
        guard (1...255).contains(scalars.count), scalars.first?.properties.isWhitespace == false,
            scalars.last?.properties.isWhitespace == false, scalars.allSatisfy(isVisible)
        else { return false }
        // A dot segment leads to another place in a path, even when it is percent-encoded.
        return !scalars.split(whereSeparator: { $0 == "/" || $0 == "\\" }).contains {
            $0.elementsEqual(".".unicodeScalars) || $0.elementsEqual("..".unicodeScalars)
        }
    }

    private static func isVisible(_ scalar: Unicode.Scalar) -> Bool {
        let properties = scalar.properties
        guard !properties.isDefaultIgnorableCodePoint, !properties.isNoncharacterCodePoint else { return false }
        return switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned: false
        default: true
        }
    }
}
