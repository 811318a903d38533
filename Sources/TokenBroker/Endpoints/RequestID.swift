import HTTPTypes

/// The id of a request, by which its response, its log event and the log of a proxy are matched.
///
/// A listed proxy may name it in `X-Request-ID`, with 1 to 128 ASCII letters, digits, dots, hyphens and underscores.
/// Otherwise, and for anybody else's request, it is made: 64 random bits in hexadecimal.
struct RequestID: Sendable {
    static let field = HTTPField.Name("X-Request-ID")

    let text: String

    init(_ request: EndpointRequest, _ addresses: ClientAddresses) {
        let named = Self.field.map { request.head.headerFields[values: $0] } ?? []
        if named.count == 1, let name = named.first, Self.isValid(name), addresses.isFromTrustedProxy(request) {
            text = name
        } else {
            text = randomHex(words: 1)
        }
    }

    private static func isValid(_ name: String) -> Bool {
        1...128 ~= name.utf8.count
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }

    func addField(to response: inout EndpointResponse) {
        if let field = Self.field { response.head.headerFields[field] = text }
    }
}
