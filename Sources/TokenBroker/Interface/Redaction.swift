import HTTPTypes

// Requests and responses carry proofs and tokens. Their textual forms and `dump` show the kind of message but none of
// its content.

extension EndpointRequest: CustomStringConvertible, CustomReflectable {
    /// The method only, without any content.
    public var description: String { "EndpointRequest(\(head.method.rawValue))" }
    /// A mirror without children.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

extension EndpointResponse: CustomStringConvertible, CustomReflectable {
    /// The status only, without any content.
    public var description: String { "EndpointResponse(\(head.status.code))" }
    /// A mirror without children.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

extension TransportResponse: CustomStringConvertible, CustomReflectable {
    /// The status only, without any content.
    public var description: String { "TransportResponse(\(head.status.code))" }
    /// A mirror without children.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
