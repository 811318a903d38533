import HTTPTypes

// Requests and responses carry proofs and tokens. What is made of them as text, or by `dump`, says which and nothing of what is in them.

extension EndpointRequest: CustomStringConvertible, CustomReflectable {
    /// The method only.
    public var description: String { "EndpointRequest(\(head.method.rawValue))" }
    /// Shows no members.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

extension EndpointResponse: CustomStringConvertible, CustomReflectable {
    /// The status only.
    public var description: String { "EndpointResponse(\(head.status.code))" }
    /// Shows no members.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

extension TransportResponse: CustomStringConvertible, CustomReflectable {
    /// The status only.
    public var description: String { "TransportResponse(\(head.status.code))" }
    /// Shows no members.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
