/// Who asks.
public struct Principal: Sendable, Hashable, CustomStringConvertible {
    /// Who it is, unique within its tenant.
    public var subject: ExactString
    /// Which party it belongs to, in a broker that serves several; empty otherwise.
    public var tenant: ExactString
    /// What else is known, such as a token's claims.
    public var claims: [ExactString: JSONValue]

    /// - Parameters:
    ///   - subject: Who it is, unique within its tenant.
    ///   - tenant: Which party it belongs to, in a broker that serves several.
    ///   - claims: What else is known, by name.
    public init(subject: ExactString, tenant: ExactString = "", claims: [ExactString: JSONValue] = [:]) {
        self.subject = subject
        self.tenant = tenant
        self.claims = claims
    }

    /// - Parameters:
    ///   - subject: Who it is, unique within its tenant.
    ///   - tenant: Which party it belongs to, in a broker that serves several.
    ///   - claims: What else is known, by name.
    public init(subject: String, tenant: String = "", claims: [String: JSONValue] = [:]) {
        self.init(
            subject: ExactString(subject), tenant: ExactString(tenant),
            claims: Dictionary(claims.map { (ExactString($0), $1) }) { $1 }
        )
    }

    /// Without content: a subject is personal data.
    public var description: String { "Principal" }
}

extension Principal: CustomReflectable {
    /// Shows no members.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
