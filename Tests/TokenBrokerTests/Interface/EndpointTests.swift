import HTTPTypes
import Testing
import TokenBroker

private struct Echo: Endpoint {
    let path: RoutePath
    var text = ""
    func respond(to request: EndpointRequest) async -> EndpointResponse {
        let id = request.pathParameters["id"].map { "/\($0)" } ?? ""
        return EndpointResponse(status: .ok, body: Array((text + id).utf8))
    }
}

@Suite struct `A set of endpoints` {
    private let set = EndpointSet([
        Echo(path: "/a", text: "first"), Echo(path: "/a", text: "second"),
        Echo(path: "/invoices/{id}", text: "invoice"),
    ])

    private func answer(_ path: String, _ set: EndpointSet) async -> String? {
        let request = EndpointRequest(head: HTTPRequest(method: .get, scheme: nil, authority: nil, path: path))
        return await set.match(path)?.respond(to: request).body.reduce(into: "") { $0.unicodeScalars.append(.init($1)) }
    }

    @Test func `an endpoint set answers with the first match and passes on its parameters`() async {
        #expect(await answer("/a", set) == "first")
        #expect(await answer("/a?x=y", set) == "first")
        #expect(await answer("/invoices/inv%5F1", set) == "invoice/inv_1")
        for path in ["", "/", "/A", "/a/", "/b", "/invoices/", "/invoices/1/2"] {
            #expect(await answer(path, set) == nil, "\(path)")
        }
    }

    @Test func `an endpoint set leaves excluded paths to the host`() async {
        let set = set.excluding(["/a"])
        #expect(await answer("/a", set) == nil)
        #expect(await answer("/a?x=y", set) == nil)
        #expect(await answer("/invoices/1", set) == "invoice/1")
        #expect(await answer("/invoices/1", set.excluding(["/invoices/1"])) == nil)
        // Exclusions are compared by bytes, as paths are.
        #expect(await answer("/a", self.set.excluding(["/a\u{301}"])) == "first")
    }
}

@Suite struct `A response that is sent` {
    private let body: [UInt8] = [1, 2, 3]

    private func framed(_ status: HTTPResponse.Status, _ method: HTTPRequest.Method) -> (length: String?, body: [UInt8])
    {
        let response = EndpointResponse(status: status, headerFields: [.contentLength: "99"], body: body)
            .framed(for: method)
        return (response.head.headerFields[.contentLength], response.body)
    }

    @Test(arguments: [HTTPRequest.Method.get, .post, .options, .put])
    func `a response has its content length`(_ method: HTTPRequest.Method) {
        for status in [HTTPResponse.Status.ok, .notFound, .internalServerError, .created] {
            let found = framed(status, method)
            #expect(found.length == "3" && found.body == body)
        }
    }

    @Test func `a response to HEAD has the content length of the body that it omits`() {
        let found = framed(.ok, .head)
        #expect(found.length == "3" && found.body == [])
    }

    @Test func `a response without content has neither body nor content length`() {
        for status in [HTTPResponse.Status.noContent, .notModified, .continue] {
            for method in [HTTPRequest.Method.get, .head] {
                let found = framed(status, method)
                #expect(found.length == nil && found.body == [])
            }
        }
    }
}

@Suite struct `A request target` {
    @Test(arguments: [
        ("/a", "/a", nil), ("/a?b=c", "/a?b=c", nil), ("*", "*", nil), ("a.example:443", "a.example:443", nil),
        ("http://a.example", "/", "a.example"), ("https://a.example:8443/b?c", "/b?c", "a.example:8443"),
        ("HTTP://A.example?c", "/?c", "A.example"), ("ftp://a.example/b", "ftp://a.example/b", nil), ("", "", nil),
    ])
    func `a request target is split into path and authority`(_ target: String, _ path: String, _ authority: String?) {
        let found = RequestTarget(target)
        #expect(found.path == path && found.authority == authority)
    }
}
