// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {Endings} from "./Endings.sol";
import {IERC5643} from "./IERC5643.sol";
import {Card, LeaseArt} from "./LeaseArt.sol";
import {Holding, Plan} from "./LeaseTypes.sol";
import {Sales} from "./Sales.sol";

/// @title Lease: a machine for as long as it is paid for
/// @notice Whoever owns a token may use the machine that it stands for, until it expires. Anyone may renew any lease.
/// What is paid is the buyer's until time has passed on a delivered machine: see `Ledger` for the money, `Delivery` and
/// `Endings` for how a lease begins and ends, and `LeaseWords` for what it says.
/// @dev A lease is *expired* from the second `expiresAt` on; for the plan's grace after that it can still be renewed,
/// and not one second longer, so that a payment can't race the destruction of the machine. There is no upgradeability.
contract Lease is Sales, Endings {
    /// @dev Draws the pictures; made by the constructor, and never another.
    LeaseArt private immutable ART;

    /// @notice Gives each role to its first holder. The three may be one address, and should not.
    /// @param admin Defines plans and terms, pauses sales, cancels delivered leases, grants and revokes roles.
    /// @param treasurer Collects what was earned and takes it out.
    /// @param provisioner Delivers, cancels what was never delivered, answers upgrades, burns what is over.
    constructor(address admin, address treasurer, address provisioner) ERC721("Machine Lease", "LEASE") {
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _grantRole(TREASURER_ROLE, treasurer);
        _grantRole(PROVISIONER_ROLE, provisioner);
        ART = new LeaseArt();
    }

    /// @notice When the lease expires. Before its delivery, the end of the delivery time.
    /// @param tokenId Any lease there is.
    /// @return Absolute, in Unix seconds.
    function expiresAt(uint256 tokenId) external view returns (uint64) {
        return _holdingOf(tokenId).expiration;
    }

    /// @notice Whether `renewSubscription` is open: neither owner nor admin closed it, and the grace is not over.
    /// @param tokenId Any lease there is.
    /// @return True if it is in this second. What a renewal costs, and how far ahead, is not asked.
    function isRenewable(uint256 tokenId) external view returns (bool) {
        return _isRenewable(_holdingOf(tokenId));
    }

    /// @notice What a lease's expiry does not tell.
    /// @param tokenId Any lease there is.
    /// @return secondsBought How many seconds its delivery will start; zero after it.
    /// @return freeUntil Before which Unix second its owner ends it without a fee; zero before the delivery.
    function termOf(uint256 tokenId) external view returns (uint64 secondsBought, uint64 freeUntil) {
        Holding storage holding = _holdingOf(tokenId);
        return (holding.secondsBought, holding.freeUntil);
    }

    /// @notice Which plan a lease is of.
    /// @param tokenId Any lease there is.
    /// @return The plan's id.
    function planOf(uint256 tokenId) external view returns (uint256) {
        return _holdingOf(tokenId).planId;
    }

    /// @notice The SSH public key of a lease.
    /// @param tokenId Any lease there is.
    /// @return One line of printable ASCII; empty if it has none.
    function sshKeyOf(uint256 tokenId) external view returns (string memory) {
        return _holdingOf(tokenId).sshKey;
    }

    /// @notice The public key that connections of a lease are encrypted to.
    /// @param tokenId Any lease there is.
    /// @return As the owner gave it; empty if it has none.
    function encryptionKeyOf(uint256 tokenId) external view returns (bytes memory) {
        return _holdingOf(tokenId).encryptionKey;
    }

    /// @notice Name, picture and attributes of a lease: its plan, its state and its expiry.
    /// @param tokenId Any lease there is.
    /// @return A `data:` URI that holds all of it.
    function tokenURI(uint256 tokenId) public view override returns (string memory) {
        Holding storage holding = _holdingOf(tokenId);
        Plan storage sold = _plans[holding.planId];
        return
            ART.uri(
                Card(
                    tokenId,
                    sold.name,
                    sold.cores,
                    sold.memoryMiB,
                    sold.diskGiB,
                    _stateOf(holding),
                    holding.expiration
                )
            );
    }

    /// @notice What a picture says of a lease at this moment.
    /// @param holding The lease.
    /// @return A few words of plain letters.
    function _stateOf(Holding storage holding) private view returns (string memory) {
        bool expired = block.timestamp >= holding.expiration;
        if (holding.deliveredAt == 0) return expired ? "not delivered: refundable" : "waiting for delivery";
        if (!expired) return "active";
        if (_isRenewable(holding)) return "expired: renewable";
        return block.timestamp < _endOfGrace(holding) && !holding.closed ? "expired" : "over";
    }

    /// @notice Whether a renewal would be let through, as far as time and people decide.
    /// @param holding The lease.
    /// @return False once the owner declined, the admin cancelled, or the grace is over.
    function _isRenewable(Holding storage holding) private view returns (bool) {
        return !holding.declined && !holding.closed && block.timestamp < _endOfGrace(holding);
    }
}
