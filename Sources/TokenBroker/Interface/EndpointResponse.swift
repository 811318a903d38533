public import HTTPTypes

/// The response of an ``Endpoint``.
public struct EndpointResponse: Sendable {
    /// The status and the header fields, sent unchanged and in order.
    public var head: HTTPResponse
    /// The whole body. In response to a `HEAD` request, the adapter sends its length but not its bytes.
    public var body: [UInt8]

    /// Creates a response from its head.
    ///
    /// - Parameters:
    ///   - head: The status and the header fields.
    ///   - body: The whole body.
    public init(head: HTTPResponse, body: [UInt8] = []) {
        self.head = head
        self.body = body
    }

    /// Creates a response from a status and header fields.
    ///
    /// - Parameters:
    ///   - status: The status.
    ///   - headerFields: The header fields, sent in order.
    ///   - body: The whole body.
    public init(status: HTTPResponse.Status, headerFields: HTTPFields = [:], body: [UInt8] = []) {
        self.init(head: HTTPResponse(status: status, headerFields: headerFields), body: body)
    }
}

extension EndpointResponse {
    /// Returns the response as it is sent (RFC 9110, sections 6.4 and 8.6).
    ///
    /// The result has a `Content-Length`, and no body if `method` is `HEAD`. A response whose status does not allow a
    /// body, such as 204, has neither.
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
