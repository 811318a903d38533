/// The authenticated caller.
public struct Principal: Sendable, Hashable, CustomStringConvertible {
    /// The caller's id, unique within its tenant.
    public var subject: ExactString
    /// The tenant, in a broker that serves several; empty otherwise.
    public var tenant: ExactString
    /// Further facts about the caller, such as a token's claims.
    public var claims: [ExactString: JSONValue]

    /// Creates a principal.
    ///
    /// - Parameters:
    ///   - subject: The caller's id, unique within its tenant.
    ///   - tenant: The tenant, in a broker that serves several.
    ///   - claims: Further facts about the caller, by name.
    public init(subject: ExactString, tenant: ExactString = "", claims: [ExactString: JSONValue] = [:]) {
        self.subject = subject
        self.tenant = tenant
        self.claims = claims
    }

    /// Creates a principal.
    ///
    /// - Parameters:
    ///   - subject: The caller's id, unique within its tenant.
    ///   - tenant: The tenant, in a broker that serves several.
    ///   - claims: Further facts about the caller, by name.
    public init(subject: String, tenant: String = "", claims: [String: JSONValue] = [:]) {
        self.init(
            subject: ExactString(subject), tenant: ExactString(tenant),
            claims: Dictionary(claims.map { (ExactString($0), $1) }) { $1 }
        )
    }

    /// The type's name only, since a subject is personal data.
    public var description: String { "Principal" }
}

extension Principal: CustomReflectable {
    /// A mirror without children.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
