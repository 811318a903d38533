/// An error as RFC 6749 (section 5.2) defines it: the member `error` of a response in step 1.
///
/// A code that the RFC does not define counts only together with an `error_description`, because gateways also send
/// `{"error": "Forbidden"}` and `{"error": "request_blocked"}`.
struct IssuerError {
    /// The meaning in this package's terms; `nil` for the code of an extension, whose meaning only the status tells.
    let meaning: (code: TokenError.Code, message: String)?

    /// Reads an error; `nil` if the object is not such an error.
    init?(_ object: JSONValue) {
        guard let error = object["error"]?.string, !error.isEmpty else { return nil }
        meaning =
            switch error.unicode {
            case "invalid_client":
                (.credentialsRejected, "the vendor does not know the client or rejects its authentication")
            case "invalid_grant": (.credentialsRejected, "the vendor rejects the client's authentication")
            case "unauthorized_client":
                (.credentialsRejected, "the vendor does not allow this client to request tokens for itself")
            case "invalid_scope": (.misconfigured, "the vendor does not grant the requested scopes")
            case "unsupported_grant_type": (.misconfigured, "the vendor does not support the client credentials grant")
            case "invalid_request":
                (.misconfigured, "the vendor rejects the request as invalid, which is a bug in this program")
            case "temporarily_unavailable", "server_error": (.unavailable, "the vendor is temporarily unavailable")
            default: nil
            }
        if meaning == nil, object["error_description"]?.string == nil { return nil }
    }
}
