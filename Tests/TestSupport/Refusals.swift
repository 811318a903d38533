public import TokenBroker

extension Authenticator {
    /// Who asks, or `nil` without a valid proof, with a reason or without.
    public func principal(in request: EndpointRequest) async throws -> Principal? {
        do {
            return try await authenticate(request)
        } catch is AccessRefusal {
            return nil
        }
    }

    /// Why there is no valid proof; `nil` if there is one, or without a reason.
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
    /// Whether they may, whatever the reason if not.
    public func says(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        try await verdict(principal, for: request) == .yes
    }

    /// Why they may not; `nil` if they may, or without a reason.
    public func refusal(of principal: Principal, _ request: TokenRequest) async throws -> String? {
        guard case .no(let refusal) = try await verdict(principal, for: request) else { return nil }
        return refusal?.description
    }
}
