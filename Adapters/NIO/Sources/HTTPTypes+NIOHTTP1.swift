#if NIOSupport
import HTTPTypes
import NIOHTTP1
import TokenBroker

extension HTTPRequest {
    /// Creates a request from its head, or returns `nil` if the method is invalid.
    init?(_ head: HTTPRequestHead) {
        guard let method = Method(head.method.rawValue) else { return nil }
        let target = RequestTarget(head.uri)
        let hosts = head.headers["host"]
        var fields = HTTPFields()
        fields.reserveCapacity(head.headers.count)
        for (name, value) in head.headers where name.lowercased() != "host" {
            // Invalid names are dropped, because no endpoint can look them up.
            if let name = HTTPField.Name(name) { fields.append(HTTPField(name: name, value: value)) }
        }
        // With two hosts, the host is unknown (RFC 9112, section 3.2).
        let authority = target.authority ?? (hosts.count == 1 ? hosts.first : nil)
        self.init(method: method, scheme: nil, authority: authority, path: target.path, headerFields: fields)
    }
}

extension HTTPRequestHead {
    /// Whether the host is unambiguous (RFC 9112, section 3.2): there is one `Host`, which only HTTP/1.0 may omit.
    ///
    /// An absolute-form target takes precedence over `Host`. If the two differ, another server in front of this one may
    /// have read the request differently, so they have to agree.
    var hasOneMeaningOfHost: Bool {
        guard version.major == 1 else { return true }
        let hosts = headers["host"]
        guard hosts.count <= 1, !hosts.isEmpty || version == .http1_0 else { return false }
        let host = hosts.first.flatMap { $0.isEmpty ? nil : $0 }
        let authority = host.flatMap { Authority($0) }
        if host != nil, authority == nil { return false }
        guard let target = RequestTarget(uri).authority else { return true }
        guard let target = Authority(target) else { return false }
        let scheme = uri.prefix(6).lowercased() == "https:" ? "https" : "http"
        return authority.map { $0.host == target.host && $0.port(under: scheme) == target.port(under: scheme) } ?? true
    }

    /// The status that refuses a request with ambiguous framing, or `nil` if the framing is valid (RFC 9112, section
    /// 6.1).
    ///
    /// The decoder accepts such requests, whose end another server could see elsewhere. HTTP/1.0 must have no
    /// `Transfer-Encoding`, and `chunked` must occur once and last. Other codings are not implemented.
    var refusalOfFraming: HTTPResponse.Status? {
        guard version.major == 1 else { return nil }
        let codings = headers[canonicalForm: "transfer-encoding"].map { $0.lowercased() }
        guard !headers.contains(name: "transfer-encoding") || version != .http1_0 else { return .badRequest }
        guard codings.isEmpty || codings.last == "chunked", codings.filter({ $0 == "chunked" }).count <= 1 else {
            return .badRequest
        }
        return codings.count > 1 ? .notImplemented : nil
    }

    /// Whether the decoder reads no request after this one, because the client asked for another protocol.
    var stopsDecoder: Bool {
        guard version.major == 1 else { return false }
        return method == .CONNECT
            || headers.contains(name: "upgrade")
                && headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
    }
}

extension EndpointResponse {
    /// Creates a response for a request that no endpoint responds to.
    init(refusal status: HTTPResponse.Status) {
        let problem: JSONValue = [
            "type": "about:blank", "status": .number(Double(status.code)), "title": .string(status.reasonPhrase),
        ]
        self.init(
            status: status, headerFields: [.contentType: "application/problem+json"], body: problem.serialized)
    }
}

extension HTTPResponseHead {
    init(_ head: HTTPResponse, version: HTTPVersion) {
        self.init(
            version: version,
            status: HTTPResponseStatus(statusCode: head.status.code, reasonPhrase: head.status.reasonPhrase),
            headers: HTTPHeaders(head.headerFields.map { ($0.name.rawName, $0.value) })
        )
    }
}

#endif
