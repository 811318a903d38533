public import TokenBroker

extension Authenticator {
    /// Returns the principal, or `nil` without a valid proof, with a reason or without.
    public func principal(in request: EndpointRequest) async throws -> Principal? {
        do {
            return try await authenticate(request)
        } catch is AccessRefusal {
            return nil
        }
    }

    /// Returns why there is no valid proof; `nil` if there is one, or if no reason is given.
    public func refusal(of request: EndpointRequest) async throws -> String? {
        do {
            _ = try await authenticate(request)
            return nil
        } catch let refusal as AccessRefusal {
            return refusal.description
        }
    }
}

extension AccessPolicy {
    /// Returns whether the principal may have a token, whatever the reason for a refusal.
    public func says(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        try await verdict(principal, for: request) == .yes
    }

    /// Returns the reason for a refusal; `nil` if the principal may have a token, or if no reason is given.
    public func refusal(of principal: Principal, _ request: TokenRequest) async throws -> String? {
        guard case .no(let refusal) = try await verdict(principal, for: request) else { return nil }
        return refusal?.description
    }
}
