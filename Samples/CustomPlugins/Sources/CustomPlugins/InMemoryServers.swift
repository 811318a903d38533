import Foundation
import HTTPTypes
import TokenBroker
import TokenBrokerTesting

/// In-memory doubles of the company's secret service and the vendor, so that the sample runs by itself.
let inMemoryServers = InMemoryTransport { request, body in
    func answer(_ json: String) -> TransportResponse { .init(head: HTTPResponse(status: .ok), body: Array(json.utf8)) }
    switch request.path {
    case "/payments":
        return answer(#"{"client_id": "shop", "client_secret": "a secret"}"#)
    case "/oauth/token":
        let expected = "Basic " + Data("shop:a+secret".utf8).base64EncodedString()
        guard request.headerFields[.authorization] == expected else {
            return .init(head: HTTPResponse(status: .forbidden))
        }
        return answer(#"{"access_token": "580d", "expires_in": 3600, "token_type": "bearer"}"#)
    default:
        let asked = try JSONDecoder().decode([String: String].self, from: Data(body))
        let claims = try JSONEncoder().encode(asked.merging(["partner_id": "p"]) { $1 })
        let part = claims.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing(
            "=", with: "")
        return answer(#"{"token": "e30.\#(part).c2lnbmF0dXJl", "expires_at": "2999-01-01T00:00:00Z"}"#)
    }
}
