#if JWTSupport
import FoundationEssentials
import HTTPTypes
import TokenBroker

/// One of the vendor's paths, with its single method. Like the vendor's API, it is open to pages of any origin.
struct VendorRoute: Endpoint {
    let method: HTTPRequest.Method
    let path: RoutePath
    let now: @Sendable () -> Date
    let answer: @Sendable (EndpointRequest) async -> EndpointResponse

    func respond(to request: EndpointRequest) async -> EndpointResponse {
        var response: EndpointResponse
        switch request.head.method {
        case method:
            response = await answer(request)
        case .options:
            response = EndpointResponse(status: .noContent)
            response.head.headerFields[.accessControlAllowMethods] = method.rawValue
            response.head.headerFields[.accessControlAllowHeaders] = "Authorization, Content-Type"
            response.head.headerFields[.accessControlMaxAge] = "600"
        default:
            response = .error(.methodNotAllowed, "method_not_allowed", "method not allowed")
            response.head.headerFields[.allow] = "\(method.rawValue), OPTIONS"
        }
        response.head.headerFields[.accessControlAllowOrigin] = "*"
        response.head.headerFields[.date] = httpDateText(now())
        return response
    }
}

/// `GET /_sandbox/calls`: the number of calls received, by route. It is not part of the vendor's API and is not
/// counted.
struct CallsRoute: Endpoint {
    let path: RoutePath = "/_sandbox/calls"
    let count: @Sendable () -> CallCount

    func respond(to request: EndpointRequest) async -> EndpointResponse {
        let count = count()
        return .json([
            "total": .number(Double(count.total)),
            "throttled": .number(Double(count.throttled)),
            "calls": .object(count.byRoute.mapValues { .number(Double($0)) }),
        ])
    }
}

/// `POST /_sandbox/throttle` and `POST /_sandbox/revoke`, which make the vendor behave in a way that is hard to wait
/// for. They are not part of the vendor's API and are not counted.
struct ControlRoute: Endpoint {
    let path: RoutePath
    /// Acts on the members of the body. Returns `false` if they are not as expected.
    let control: @Sendable (JSONValue) -> Bool

    func respond(to request: EndpointRequest) async -> EndpointResponse {
        guard request.head.method == .post else {
            var response = EndpointResponse.error(.methodNotAllowed, "method_not_allowed", "method not allowed")
            response.head.headerFields[.allow] = "POST"
            return response
        }
        let body = try? await request.body.collect(upTo: 1 << 10)
        guard let body, let members = body.isEmpty ? .object([:]) : try? JSONValue.parse(body), control(members) else {
            return .error(.badRequest, "bad_request", "malformed body")
        }
        return EndpointResponse(status: .noContent)
    }
}

extension EndpointResponse {
    static func json(_ value: JSONValue) -> EndpointResponse {
        EndpointResponse(
            status: .ok, headerFields: [.contentType: "application/json", .cacheControl: "no-store"],
            body: value.serialized
        )
    }

    /// Returns an error in the vendor's schema.
    static func error(
        _ status: HTTPResponse.Status, _ code: String, _ message: String, field: String? = nil
    ) -> EndpointResponse {
        var response = json([
            "code": .string(code), "message": .string(message),
            "validation_errors": .object(field.map { [$0: .string(message)] } ?? [:]),
        ])
        response.head.status = status
        return response
    }

    static let unauthorized = error(.unauthorized, "unauthorized", "missing or expired token")

    /// A 404 from the server in front of the vendor's API, without the vendor's schema.
    static let notThere = EndpointResponse(
        status: .notFound, headerFields: [.contentType: "text/plain"], body: Array("404 page not found".utf8)
    )
}
#endif
