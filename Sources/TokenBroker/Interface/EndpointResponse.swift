public import HTTPTypes

/// What an ``Endpoint`` answers.
public struct EndpointResponse: Sendable {
    /// Status and header fields, to be sent as they are, in order.
    public var head: HTTPResponse
    /// The whole body. For a HEAD request the adapter sends its length and not its bytes.
    public var body: [UInt8]

    /// Takes all members, in their order of declaration.
    public init(head: HTTPResponse, body: [UInt8] = []) {
        self.head = head
        self.body = body
    }

    /// Takes all members, in their order of declaration.
    public init(status: HTTPResponse.Status, headerFields: HTTPFields = [:], body: [UInt8] = []) {
        self.init(head: HTTPResponse(status: status, headerFields: headerFields), body: body)
    }
}
