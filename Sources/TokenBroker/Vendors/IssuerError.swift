/// An error in the words of RFC 6749 (section 5.2): the member `error` of an answer at step 1.
///
/// A code that the standard does not have counts only with an `error_description` beside it: gateways also send
/// `{"error": "Forbidden"}` and `{"error": "request_blocked"}`.
struct IssuerError {
    /// What it means, in this package's words; `nil` for a code of an extension, of which only the status tells.
    let meaning: (code: TokenError.Code, message: String)?

    /// `nil` if the object is not an error in these words.
    init?(_ object: JSONValue) {
        guard let error = object["error"]?.string, !error.isEmpty else { return nil }
        meaning =
            switch error.unicode {
            case "invalid_client":
                (.credentialsRejected, "the vendor does not know the client or does not accept its proof")
            case "invalid_grant": (.credentialsRejected, "the vendor does not accept the client's proof")
            case "unauthorized_client":
                (.credentialsRejected, "the vendor does not let this client have tokens by itself")
            case "invalid_scope": (.misconfigured, "the vendor does not grant the scopes")
            case "unsupported_grant_type": (.misconfigured, "the vendor does not know the client credentials grant")
            case "invalid_request":
                (.misconfigured, "the vendor does not understand the request, which is a fault of this program")
            case "temporarily_unavailable", "server_error": (.unavailable, "the vendor cannot answer for now")
            default: nil
            }
        if meaning == nil, object["error_description"]?.string == nil { return nil }
    }
}
