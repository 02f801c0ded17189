// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What is sold. Name, machine, promises and payment token are fixed when the plan is created.
struct Plan {
    /// What buyers see; one line of printable ASCII.
    string name;
    /// 0 is a virtual machine, 1 a container.
    uint8 kind;
    uint32 cores;
    uint32 memoryMiB;
    uint32 diskGiB;
    /// Seconds after expiry in which a lease can still be renewed.
    uint64 grace;
    /// Seconds within which a lease that was bought, or an upgrade to this plan, is delivered.
    uint64 deliveryTime;
    /// What an owner who ends a lease early leaves of the unused rest, in hundredths of a percent.
    uint16 endFee;
    /// The ERC-20 that pays for it; zero is the native coin.
    address paymentToken;
    /// How many leases may exist at once; zero is no limit.
    uint32 cap;
    /// How many leases exist now: it rises with each mint and falls only with a burn or a refund.
    uint32 live;
    /// Whether new leases are sold. Renewals do not ask.
    bool onSale;
    /// In the smallest unit of the payment token.
    uint128 pricePerSecond;
}

/// @notice What an admin offers as a new plan; the members mean what they mean in `Plan`.
struct PlanOffer {
    string name;
    uint8 kind;
    uint32 cores;
    uint32 memoryMiB;
    uint32 diskGiB;
    uint64 grace;
    uint64 deliveryTime;
    uint16 endFee;
    address paymentToken;
    uint128 pricePerSecond;
    uint32 cap;
}

/// @notice What a token stands for, apart from its owner.
/// @dev The first six members share a slot.
struct Holding {
    uint32 planId;
    /// Absolute. Before the delivery it is the end of the plan's delivery time.
    uint64 expiration;
    /// When the lease's time began; zero before the delivery.
    uint64 deliveredAt;
    /// Up to when the escrow has been settled: what it holds pays for the time from here to the expiration.
    uint64 settledAt;
    /// The owner asked for no renewals.
    bool declined;
    /// The admin cancelled it: it is never renewed again.
    bool closed;
    /// The lowest price at which the lease was ever paid for: renewals never cost more.
    uint128 pricePerSecond;
    /// How much time the delivery will start; zero after it.
    uint64 secondsBought;
    /// Until then its owner ends it without a fee.
    uint64 freeUntil;
    /// What was paid and is neither earned nor given back, in the smallest unit of the payment token.
    uint256 escrow;
    string sshKey;
    bytes encryptionKey;
    /// How to reach the machine, encrypted to `encryptionKey`.
    bytes connection;
}

/// @notice An upgrade that was paid and is not done yet.
struct Upgrade {
    /// The plan that is wanted; zero is none.
    uint32 planId;
    /// From this second on it is not done any more, and the owner takes back what is set aside.
    uint64 deadline;
    /// The wanted plan's price when the upgrade was asked for.
    uint128 pricePerSecond;
    /// What was paid for it, on top of the lease's escrow.
    uint256 aside;
}

/// @notice What a buyer wants, and the buyer's own guards.
struct Purchase {
    uint256 planId;
    /// The first owner.
    address recipient;
    /// In seconds.
    uint64 duration;
    /// The purchase reverts if it costs more than this.
    uint256 maxAmount;
    /// The purchase reverts if it is mined after this Unix second.
    uint256 deadline;
    /// One line of printable ASCII, or empty.
    string sshKey;
    /// Or empty.
    bytes encryptionKey;
}

/// @notice An ERC-2612 signature of the caller: this contract may take `value` of the payment token.
struct Permit {
    uint256 value;
    uint256 deadline;
    uint8 v;
    bytes32 r;
    bytes32 s;
}

/// @notice An EIP-3009 signature of `from` for `receiveWithAuthorization`: this contract takes exactly what the purchase
/// costs. Its nonce is `authorizationNonce` of the purchase and `salt`.
struct Authorization {
    address from;
    uint256 validAfter;
    uint256 validBefore;
    bytes32 salt;
    uint8 v;
    bytes32 r;
    bytes32 s;
}
