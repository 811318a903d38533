#if NIOSupport
import HTTPTypes
import NIOHTTP1
import TokenBroker

extension HTTPRequest {
    /// `nil` if the method or the target is none.
    init?(_ head: HTTPRequestHead) {
        guard let method = Method(head.method.rawValue) else { return nil }
        let target = originForm(ofTarget: head.uri)
        let hosts = head.headers["host"]
        var fields = HTTPFields()
        fields.reserveCapacity(head.headers.count)
        for (name, value) in head.headers where name.lowercased() != "host" {
            // A name that is none cannot be asked for either.
            if let name = HTTPField.Name(name) { fields.append(HTTPField(name: name, value: value)) }
        }
        // Two hosts are no host (RFC 9112, section 3.2).
        let authority = target.authority ?? (hosts.count == 1 ? hosts.first : nil)
        self.init(method: method, scheme: nil, authority: authority, path: target.path, headerFields: fields)
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

extension HTTPResponse.Status {
    var allowsBody: Bool { kind != .informational && code != 204 && code != 304 }
}
#endif
