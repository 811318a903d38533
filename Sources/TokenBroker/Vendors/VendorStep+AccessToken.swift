import HTTPTypes

extension VendorStep {
    /// Sends a request with an access token. If the vendor refuses a cached access token (401), it is renewed once,
    /// unless the ``CircuitBreaker`` prevents that.
    /// - Parameters:
    ///   - visitor: The visitor behind the request.
    ///   - minimumRemaining: The minimum remaining lifetime of the access token.
    ///   - timeout: The timeout for everything together.
    ///   - made: The request to send. The access token is added to it as bearer token (RFC 6750).
    /// - Returns: The answer, and the access token that the request was sent with, with its remaining lifetime.
    func execute(
        with accessTokens: any TokenProvider, for request: TokenRequest, by visitor: CircuitBreaker.Visitor,
        minimumRemaining: Duration = .zero, timeout: Duration?, _ made: Request
    ) async throws(TokenError) -> (answer: Answer, access: Token) {
        let end = end(within: timeout)
        let accessRequest = TokenRequest(tenant: request.tenant, scopes: request.scopes, audience: request.audience)
        func access(replacing id: Token.ID?) async throws(TokenError) -> Token {
            // The vendor would refuse a token that expires in transit.
            let demand = TokenDemand(
                minimumRemaining: max(minimumRemaining, .seconds(2)), replacing: id,
                timeout: end.map { max(.zero, $0 - stopwatch.now) }
            )
            return try await accessTokens.token(for: accessRequest, demand: demand)
        }

        func ask(_ token: Token) async throws(TokenError) -> TransportResponse {
            var made = made
            made.fields[.authorization] = "Bearer " + token.secret.reveal()
            return try await self.response(to: made, before: end)
        }

        let refused = try breaker.pass(visitor, now: stopwatch.now, probe: self.timeout)
        var token = try await access(replacing: refused)
        var since = stopwatch.now
        var response = try await ask(token)
        if response.status == .unauthorized, !token.isFresh, breaker.mayRenew(token, for: visitor, now: stopwatch.now) {
            token = try await access(replacing: token.id)
            since = stopwatch.now
            response = try await ask(token)
        }
        let content = content(of: response)
        note(content, response.status, of: request, by: visitor, with: token)
        token.remaining -= stopwatch.now - since
        return (Answer(response: response, content: content), token)
    }

    /// The time until the first of the visitors whose calls were refused may send one again; `nil` if no visitor is
    /// held back.
    var suspendedFor: Duration? { breaker.openFor(now: stopwatch.now) }

    private func note(
        _ content: Result<JSONValue, TokenError>, _ status: HTTPResponse.Status, of request: TokenRequest,
        by visitor: CircuitBreaker.Visitor, with token: Token
    ) {
        var refusal: TokenError?
        var isAccepted = true
        if case .failure(let error) = content {
            if error.code == .credentialsRejected {
                refusal = error
                refusal?.message = "the vendor refuses calls with new access tokens"
            }
            // A 403 for another reason does not count: the vendor may not even have looked at what was requested.
            isAccepted = error.code == .requestRejected && status != .forbidden
        }
        if status == .unauthorized || refusal != nil {
            let isOpen = breaker.refused(
                request, by: visitor, with: token, refusal, isUnauthorized: status == .unauthorized, now: stopwatch.now)
            if isOpen { telemetry.setBreaker(open: true) }
        } else if isAccepted, breaker.accepted(visitor, with: token) {
            telemetry.setBreaker(open: false)
        }
    }
}
