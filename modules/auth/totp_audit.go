package auth

import "github.com/orderflow-dev/orderflow/platform/audit"

// The actions of second factors in the audit trail.
var (
	totpEnrolled          = audit.Action{Name: "totp.enrolled", Subject: "user", Doc: "An account got a secret for a second factor, which is not active yet."}
	totpActivated         = audit.Action{Name: "totp.activated", Subject: "user", Doc: "A second factor became active; the other sessions of the account ended."}
	totpRemoved           = audit.Action{Name: "totp.removed", Subject: "user", Doc: "The owner of an account removed its second factor."}
	totpReset             = audit.Action{Name: "totp.reset", Subject: "user", Doc: "An administrator, or `admin reset-totp`, removed the second factor of an account; its sessions ended."}
	recoveryCodesReplaced = audit.Action{Name: "totp.recovery-codes-replaced", Subject: "user", Doc: "An account got new recovery codes."}
	recoveryCodeUsed      = audit.Action{
		Name: "totp.recovery-code-used", Subject: "user", Fields: []string{"left"},
		Doc: "A recovery code was used instead of a code of the second factor; `left` is the number of codes that remain.",
	}
	loginCodeRejected = audit.Action{
		Name: "login.code-rejected", Subject: "user",
		Doc: "A log-in had the right password and a wrong code of the second factor. If it was not the owner, the password is known to someone else.",
	}
	codeRejected = audit.Action{Name: "totp.code-rejected", Subject: "user", Doc: "A request of a session had a wrong code of the second factor."}
)

func totpActions() []audit.Action {
	return []audit.Action{
		totpEnrolled, totpActivated, totpRemoved, totpReset, recoveryCodesReplaced, recoveryCodeUsed, loginCodeRejected, codeRejected,
	}
}
