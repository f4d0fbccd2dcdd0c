-- +goose Up
create table loyalty_points (
    user_id uuid   primary key,
    points  bigint not null check (points > 0)
);

-- +goose Down
drop table loyalty_points;
