// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What is sold. Name, machine, promises and payment token are fixed when the plan is created.
/// @param name What buyers see: one line of printable ASCII.
/// @param kind 0 is a virtual machine, 1 a container.
/// @param cores Processor cores of the machine.
/// @param memoryMiB Its memory, in MiB.
/// @param diskGiB Its disk, in GiB.
/// @param grace Seconds after the expiry in which a lease can still be renewed.
/// @param deliveryTime Seconds within which a lease that was bought, or an upgrade to this plan, is delivered.
/// @param endFee What an owner who ends a lease early leaves of the unused rest, in hundredths of a percent.
/// @param paymentToken The ERC-20 that pays for it; zero is the native coin.
/// @param cap How many leases, and upgrades that are asked for, there may be at once; zero is no limit.
/// @param live How many there are now: it rises with each mint and each request for an upgrade to this plan, and falls
/// when a lease is removed or becomes another plan's, or a request is dropped.
/// @param onSale Whether new leases, and upgrades to it, are sold. Renewals do not ask.
/// @param pricePerSecond In the smallest unit of the payment token (wei of the native coin).
struct Plan {
    string name;
    uint8 kind;
    uint32 cores;
    uint32 memoryMiB;
    uint32 diskGiB;
    uint64 grace;
    uint64 deliveryTime;
    uint16 endFee;
    address paymentToken;
    uint32 cap;
    uint32 live;
    bool onSale;
    uint128 pricePerSecond;
}

/// @notice What an admin offers as a new plan.
/// @param name 1 to `MAX_NAME_LENGTH` bytes of printable ASCII.
/// @param kind 0 is a virtual machine, 1 a container.
/// @param cores At least one.
/// @param memoryMiB In MiB, at least one.
/// @param diskGiB In GiB, at least one.
/// @param grace Seconds after the expiry in which a lease can still be renewed, at most `MAX_GRACE`.
/// @param deliveryTime Seconds to deliver within, `MIN_DELIVERY_TIME` to `MAX_DELIVERY_TIME`.
/// @param endFee In hundredths of a percent of the unused rest, at most `MAX_END_FEE`.
/// @param paymentToken An ERC-20, which has code; zero is the native coin.
/// @param pricePerSecond In the smallest unit of the payment token, at least one.
/// @param cap How many leases there may be at once; zero is no limit.
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
/// @param planId The plan it is of.
/// @param expiration In Unix seconds. Before the delivery it is the end of the plan's delivery time.
/// @param deliveredAt The Unix second at which its time began; zero before the delivery.
/// @param settledAt Up to which Unix second its escrow is settled: what it holds pays for the time from here to the
/// expiration. Zero before the delivery.
/// @param declined The owner asked for no renewals.
/// @param closed The admin cancelled it: it is never renewed again.
/// @param pricePerSecond The lowest price at which it was paid for since it is of its plan, in the smallest unit of the
/// payment token: renewals never cost more, except while an upgrade is asked for.
/// @param secondsBought How many seconds the delivery will start; zero after it.
/// @param freeUntil Before this Unix second its owner ends it without a fee; zero before the delivery.
/// @param escrow What was paid and is neither earned nor given back, in the smallest unit of the payment token.
/// @param sshKey One line of printable ASCII, or empty.
/// @param encryptionKey What `connection` is encrypted to, or empty.
/// @param connection How to reach the machine, encrypted; empty if nobody said.
struct Holding {
    uint32 planId;
    uint64 expiration;
    uint64 deliveredAt;
    uint64 settledAt;
    bool declined;
    bool closed;
    uint128 pricePerSecond;
    uint64 secondsBought;
    uint64 freeUntil;
    uint256 escrow;
    string sshKey;
    bytes encryptionKey;
    bytes connection;
}

/// @notice An upgrade that was paid and is not done yet.
/// @param planId The plan that is wanted; zero is none.
/// @param deadline From this Unix second on it is not done any more, and the owner takes back what is set aside.
/// @param pricePerSecond The wanted plan's price when the upgrade was asked for, in the smallest unit of the payment
/// token.
/// @param aside What was paid for it, on top of the lease's escrow, in the same unit.
struct Upgrade {
    uint32 planId;
    uint64 deadline;
    uint128 pricePerSecond;
    uint256 aside;
}

/// @notice What a buyer wants, and the buyer's own guards.
/// @param planId A plan that is on sale.
/// @param recipient The first owner.
/// @param duration In seconds, at least `MIN_DURATION`, at most `MAX_HORIZON`.
/// @param maxAmount The purchase reverts if it costs more than this, in the smallest unit of the payment token.
/// @param deadline The purchase reverts if it is mined after this Unix second.
/// @param sshKey One line of printable ASCII, at most `MAX_KEY_LENGTH` bytes, or empty.
/// @param encryptionKey At most `MAX_KEY_LENGTH` bytes, or empty.
struct Purchase {
    uint256 planId;
    address recipient;
    uint64 duration;
    uint256 maxAmount;
    uint256 deadline;
    string sshKey;
    bytes encryptionKey;
}

/// @notice An ERC-2612 signature of the caller: this contract may take `value` of the payment token.
/// @param value In the token's smallest unit.
/// @param deadline The last Unix second in which the token takes the signature.
/// @param v The signature's recovery byte.
/// @param r The first half of the signature.
/// @param s The second half of the signature.
struct Permit {
    uint256 value;
    uint256 deadline;
    uint8 v;
    bytes32 r;
    bytes32 s;
}

/// @notice An EIP-3009 signature of `from` for `receiveWithAuthorization`: this contract takes exactly what the
/// purchase costs. Its nonce is `authorizationNonce` of the purchase and `salt`.
/// @param from Who signed, and pays.
/// @param validAfter The token takes it after this Unix second.
/// @param validBefore The token takes it before this Unix second.
/// @param salt Any value; another one makes another nonce, for a second purchase of the very same.
/// @param v The signature's recovery byte.
/// @param r The first half of the signature.
/// @param s The second half of the signature.
struct Authorization {
    address from;
    uint256 validAfter;
    uint256 validBefore;
    bytes32 salt;
    uint8 v;
    bytes32 r;
    bytes32 s;
}
