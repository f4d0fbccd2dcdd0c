package app

import "github.com/orderflow-dev/orderflow/platform/laws"

var accountLaws = []laws.Law{
	{
		Name: "ended-account", Spec: "A5, E8", Says: "an account that is inactive or deleted has no valid API key and no enabled webhook, and only administrators have enabled webhooks for the orders of others",
		Query: `
			select 'API key ' || k.id, format('is valid, and account %s is %s', u.id, case when u.deleted_at is null then 'inactive' else 'deleted' end)
			from users u join api_keys k on k.user_id = u.id
			where (not u.active or u.deleted_at is not null) and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
			union all
			select 'webhook ' || w.id, format('is enabled, and account %s is %s', u.id,
				case when u.deleted_at is not null then 'deleted' when not u.active then 'inactive' else 'no administrator' end)
			from users u join webhooks w on w.owner_id = u.id
			where w.enabled and w.deleted_at is null
			  and (not u.active or u.deleted_at is not null or u.role <> 'admin' and w.user_id is distinct from w.owner_id)`,
	},
}
