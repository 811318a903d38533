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

extension EndpointResponse {
    /// The response as it is sent (RFC 9110, sections 6.4 and 8.6): with a `Content-Length`, and without the body that a response to `HEAD` does
    /// not have. A response whose status has no body, such as 204, has neither.
    public func framed(for method: HTTPRequest.Method) -> EndpointResponse {
        var response = self
        guard head.status.kind != .informational, head.status != .noContent, head.status != .notModified else {
            response.head.headerFields[.contentLength] = nil
            response.body = []
            return response
        }
        response.head.headerFields[.contentLength] = String(body.count)
        if method == .head { response.body = [] }
        return response
    }
}
